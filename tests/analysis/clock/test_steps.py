"""Steps of the system's clock are noticed once, and are in the audit; a drift is no step."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.clock.steps import TRY_AGAIN, ClockStep, StepRecord, StepWatch, standing
from response.audit.log import Audit
from response.state.store import Store
from tests.support.full_disk import full_disk

pytestmark = pytest.mark.threat("clock-steps")


@pytest.mark.parametrize("step", [901.0, -3600.0, 86_400.0, 2.5])
def test_a_step_is_seen_once(step: float) -> None:
    watch = StepWatch()
    assert watch.look(0.001) is None
    assert watch.look(step) == ClockStep(step - 0.001, step)
    assert watch.look(step + 0.002) is None


def test_a_clock_whose_pace_is_corrected_does_not_step() -> None:
    watch = StepWatch()
    assert [watch.look(0.000_5 * each) for each in range(100_000)] == [None] * 100_000
    assert watch.look(0.000_5 * 99_999 - 3600) is not None


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (
            ClockStep(901, 901),
            "the system's clock was put forward by 901 s; it is 901 s ahead of the time that "
            "deadlines and intervals go by",
        ),
        (
            ClockStep(-3600, -3600),
            "the system's clock was put back by 3,600 s; it is 3,600 s behind the time that "
            "deadlines and intervals go by",
        ),
        (
            ClockStep(3600, 0.1),
            "the system's clock was put forward by 3,600 s; it is even with the time that "
            "deadlines and intervals go by",
        ),
    ],
)
def test_a_step_in_words(step: ClockStep, line: str) -> None:
    assert step.line() == line
    assert step.line().endswith(standing(step.ahead))


def recorded(store: Store) -> list[dict[str, object]]:
    return [entry.values() for entry in store.audit_entries(kind="clock")]


def test_the_audit_has_each_step_once_also_over_restarts(tmp_path: Path) -> None:
    store = Store.open(tmp_path, 0.0)
    record = StepRecord(store, Audit(store))
    for now, ahead in [(1.0, 0.0), (1.25, 901.0), (1.5, 901.0)]:
        record.tick(now, ahead)
    after_a_restart = StepRecord(store, Audit(store))
    after_a_restart.tick(2.0, 901.0)
    assert recorded(store) == [{"what": "put forward", "seconds": 901.0, "system_ahead": 901.0}]
    while_nobody_looked = StepRecord(store, Audit(store))
    while_nobody_looked.tick(3.0, -3600.0)
    assert recorded(store)[1:] == [
        {"what": "put back", "seconds": -4501.0, "system_ahead": -3600.0}
    ]
    assert Audit(store).verify().problems == ()
    store.close()


def test_a_step_during_which_nothing_can_be_stored_is_recorded_later(tmp_path: Path) -> None:
    store = Store.open(tmp_path, 0.0)
    record = StepRecord(store, Audit(store))
    record.tick(0.0, 0.0)
    with full_disk():
        record.tick(1.0, 901.0)
        record.tick(2.0, 0.0)
    record.tick(3.0, 0.0)
    assert recorded(store) == []
    record.tick(1.0 + TRY_AGAIN, 0.0)
    assert [each["system_ahead"] for each in recorded(store)] == [901.0, 0.0]
    store.close()

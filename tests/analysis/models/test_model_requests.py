"""Versions of the model in the store: kept, gone back to, and every change in the audit."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from analysis.composition import compose
from analysis.models.model_requests import answer_about_model
from detection.detector import Detector
from detection.models.champion import Champion
from detection.snapshots.detector_snapshot import FORMAT
from response.audit.log import Audit
from response.decisions.bandit import FORMAT as ACTIONS
from response.ipc.messages import Ask
from response.state.model_versions import (
    BEFORE,
    DAILY,
    HOURLY,
    KEPT,
    NEWEST,
    ModelVersions,
    number_of,
)
from response.state.store import Store
from tests.support.hostile_pickles import that_touches
from tests.support.traffic.office import benign


class Desk:
    def __init__(self, directory: Path) -> None:
        self.store = Store.open(directory, 1000.0)
        self.audit = Audit(self.store)
        self.champion = Champion(Detector())
        self.models = ModelVersions(self.store, self.audit, self.champion)
        self.now = 1000.0

    def ask(self, what: str, subject: str = "", **more: float) -> tuple[bool, str]:
        self.now += 1.0
        told = answer_about_model(
            self.models, Ask(what, subject, "anna", alert_budget=more.get("budget")), self.now
        )
        return told.ok, told.text

    def learn(self, seed: int) -> None:
        for record in benign(seed, 60.0):
            self.champion.step(record)

    def entries(self) -> list[dict[str, object]]:
        return [dict(entry.values()) for entry in self.audit.entries(kind="model")]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_hours_and_days_are_kept_longer_than_minutes(desk: Desk) -> None:
    for minute in range(0, 4 * 1440, 5):
        desk.models.keep(b"x", 60.0 * minute)
    kept: dict[str, list[float]] = {}
    for _, ts, model, _ in desk.store.snapshots():
        kept.setdefault(model, []).append(ts)
    last = 60.0 * (4 * 1440 - 5)
    assert kept[NEWEST] == [last - 300.0 * i for i in range(4, -1, -1)]
    assert all(b - a == 3600.0 for a, b in zip(kept[HOURLY], kept[HOURLY][1:], strict=False))
    assert kept[DAILY] == [86_400.0 * i for i in range(4)]
    assert len(kept[HOURLY]) == 5


def test_rolling_back_and_back_again_is_audited_and_survives_a_restart(desk: Desk) -> None:
    desk.learn(1)
    ok, text = desk.ask("model-snapshot")
    name = text.partition(":")[0]
    assert ok and number_of(name) > 0
    learned = desk.champion.health().records
    desk.learn(2)
    further = desk.champion.snapshot()
    ok, text = desk.ask("model-rollback", name)
    assert ok, text
    newest = desk.store.latest_snapshot(NEWEST)
    assert newest is not None
    assert Detector.restore(newest[1]).health().records == learned
    back = text.rpartition("; ")[2].split()[0]
    stored = desk.store.snapshot(number_of(back))
    assert stored is not None and stored[1] == BEFORE
    assert Detector.restore(stored[2]).health() == Detector.restore(further).health()
    ok, _ = desk.ask("model-rollback", back)
    assert ok
    assert [e["what"] for e in desk.entries()] == ["snapshot", "rollback", "rollback"]
    assert desk.entries()[1]["snapshot"] == name and desk.entries()[1]["by"] == "anna"
    assert desk.audit.verify().problems == ()
    assert desk.models.changes == 2


@pytest.mark.threat("stored-code")
@pytest.mark.parametrize("header", [FORMAT.header, b"septum-detector-5\n", b""])
def test_a_foreign_snapshot_runs_nothing_and_changes_nothing(
    desk: Desk, tmp_path: Path, header: bytes
) -> None:
    mark, before = tmp_path / "mark", desk.champion.detector
    hostile = zlib.compress(that_touches(mark, "detection.detector", "Detector.step"))
    name = f"m{desk.store.save_snapshot(1.0, DAILY, header + hostile)}"
    for what in ("model-rollback", "model-challenge"):
        ok, text = desk.ask(what, name)
        assert not ok and "snapshot" in text and "\n" not in text
    assert not mark.exists() and desk.entries() == []
    assert desk.champion.detector is before and desk.champion.shadow is None


@pytest.mark.threat("stored-code")
def test_a_start_on_foreign_models_runs_nothing_and_says_so_once(tmp_path: Path) -> None:
    state, mark = tmp_path / "state", tmp_path / "mark"
    state.mkdir(mode=0o700)
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "apiVersion: septum/v1\nkind: SegmentPolicy\nmetadata: {name: p}\nsegments: {}\n"
    )
    store = Store.open(state, 1.0)
    for model, method, found in (
        (NEWEST, ("detection.detector", "Detector.step"), FORMAT),
        ("actions", ("response.decisions.bandit", "ActionLearner.learn"), ACTIONS),
    ):
        store.save_snapshot(1.0, model, found.header + zlib.compress(that_touches(mark, *method)))
    store.close()
    first = compose(state, [str(policy)], True, 0, 2.0, bytes)
    assert first.model == "fresh" and not mark.exists()
    assert first.problem is not None and "\n" not in first.problem
    assert "learn anew: damaged" in first.problem and "fixed table again: damaged" in first.problem
    first.store.close()
    again = compose(state, [str(policy)], True, 0, 3.0, bytes)
    assert (again.model, again.problem) == ("restored", None)


@pytest.mark.parametrize("name", ["", "m", "m999", "12", "m-1", "m1x", "decision"])
def test_what_is_no_snapshot_changes_nothing(desk: Desk, name: str) -> None:
    before = desk.champion.detector
    ok, text = desk.ask("model-rollback", name)
    assert not ok and "no such snapshot" in text
    assert desk.champion.detector is before and desk.entries() == []


def test_a_snapshot_of_something_else_or_damaged_is_refused(desk: Desk) -> None:
    other = desk.store.save_snapshot(1.0, "ledger", b"not a detector")
    broken = desk.store.save_snapshot(1.0, KEPT, b"damaged")
    before = desk.champion.detector
    assert desk.ask("model-rollback", f"m{other}")[0] is False
    ok, text = desk.ask("model-rollback", f"m{broken}")
    assert not ok and "snapshot" in text
    assert desk.champion.detector is before and desk.entries() == []


def test_numbers_of_snapshots_are_not_used_twice(desk: Desk) -> None:
    first = desk.store.save_snapshot(1.0, "a", b"x")
    for i in range(20):
        desk.store.save_snapshot(2.0 + i, "a", b"x")
    assert desk.store.snapshot(first) is None
    assert desk.store.save_snapshot(99.0, "b", b"x") > first + 20


def test_a_challenger_is_compared_and_promoted_with_its_report_in_the_audit(desk: Desk) -> None:
    desk.learn(1)
    assert desk.ask("model-promote")[0] is False
    assert desk.ask("model-dismiss")[0] is False
    assert desk.ask("model-challenge", "m77")[0] is False
    assert desk.ask("model-challenge", "", budget=-1.0)[0] is False
    ok, text = desk.ask("model-challenge", "", budget=2.0)
    assert ok and "alert budget 2" in text
    desk.learn(2)
    ok, text = desk.ask("model-health")
    health = json.loads(text)
    assert ok and health["challenger"]["records"] == len(benign(2, 60.0))
    ok, text = desk.ask("model-promote")
    assert ok and desk.champion.detector.settings.alert_budget == 2.0
    assert [e["what"] for e in desk.entries()] == ["challenge", "promote"]
    report = desk.entries()[1]["report"]
    assert isinstance(report, dict) and report["records"] == len(benign(2, 60.0))
    newest = desk.store.latest_snapshot(NEWEST)
    assert newest is not None
    assert Detector.restore(newest[1]).settings.alert_budget == 2.0


def test_unknown_requests_are_refused(desk: Desk) -> None:
    assert desk.ask("model-delete") == (False, "model-delete: no such request")

"""Staging, applying, confirming and taking back, with a core and no switches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policies.language.reader import read_policy
from response.asker import Asker
from response.ipc.messages import PolicyApplied
from response.state.policy_versions import VersionError, Versions, at_start
from ryu_apps.core import Core
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.enforcement.rollout import Rollout, RolloutError, answered

ANA, BEN = Asker("ana"), Asker("ben")
TEXT = """apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: %s}
segments:
  web: {members: [{cidr: 10.0.0.0/24}], mode: enforce}
intents:
  - {name: one, from: any, to: web, services: [tcp/80]}
defaults: {mode: enforce}
"""


class RestartedController:
    """A controller's policies over a state directory; `start` again is a restart."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.versions = Versions(directory / "state")
        self.given = self.write("first")
        self.start(0.0)

    def write(self, name: str) -> Path:
        path = self.directory / f"{name}.yaml"
        path.write_text(TEXT % name)
        return path

    def keep(self, name: str) -> int:
        path = self.write(name)
        contents = read_policy([path]).contents
        return self.versions.keep([str(path)], contents, "ana", 1.0, reach="much").number

    def start(self, now: float) -> None:
        version = at_start(self.versions, [str(self.given)], "root", now)
        self.core = Core(version.policy(), b"secret", version.paths)
        self.core.start((), (), ())
        self.effects: list[Effect] = []
        self.rollout = Rollout(self.core.apply_policy, self.versions, self.effects.extend)

    @property
    def policy(self) -> str:
        assert self.versions.standing().in_force is not None
        return self.core.desired_state.policy.name

    def reported(self) -> list[str]:
        return [event.what for event in self.rollout.events().events]


@pytest.fixture
def running(tmp_path: Path) -> RestartedController:
    return RestartedController(tmp_path)


def test_apply_is_on_disk_before_anything_is_carried_out(running: RestartedController) -> None:
    second = running.keep("second")
    seen: list[int | None] = []
    running.rollout = Rollout(
        running.core.apply_policy,
        running.versions,
        lambda effects: seen.append(running.versions.standing().in_force),
    )
    answer = running.rollout.apply(second, ANA, None, 5.0)
    assert answer == {"ok": True, "version": second, "policy": "second", "deadline": None}
    assert seen == [second]
    assert running.policy == "second"
    running.start(6.0)
    assert running.policy == "second", "also after a restart"


def test_the_analysis_hears_which_version_it_is_and_the_audit_what_was_done(
    running: RestartedController,
) -> None:
    second = running.keep("second")
    running.rollout.apply(second, ANA, 60.0, 5.0)
    sent = [e.message for e in running.effects if isinstance(e, Report)]
    assert [type(message).__name__ for message in sent].count("PolicyConfirmed") == 0, "no switch"
    (applied,) = [message for message in sent if isinstance(message, PolicyApplied)]
    assert applied.version == second
    event = running.rollout.events().events[-1]
    assert (event.what, event.by, event.note) == (
        "applied", "ana", "to be confirmed within 60 s; much",
    )  # fmt: skip


def test_what_is_confirmed_stays(running: RestartedController) -> None:
    running.rollout.apply(running.keep("second"), ANA, 60.0, 5.0)
    assert running.rollout.confirm(BEN, 30.0)["was_pending"]
    assert not running.rollout.confirm(BEN, 31.0)["was_pending"]
    running.rollout.tick(1000.0)
    running.start(2000.0)
    assert running.policy == "second"
    assert running.reported() == ["started with", "applied", "confirmed"]


@pytest.mark.parametrize("restart", [None, 30.0, 65.0, 1000.0])
def test_what_nobody_confirms_goes_back_whoever_died(
    running: RestartedController, restart: float | None
) -> None:
    running.rollout.apply(running.keep("second"), ANA, 60.0, 5.0)
    if restart is not None:
        running.start(restart)
        assert running.policy == ("second" if restart < 65 else "first")
    running.rollout.tick(64.9 if restart is None else max(restart, 64.9))
    running.rollout.tick(65.0 if restart is None else max(restart, 65.0))
    assert running.policy == "first"
    assert running.reported()[-1] == "reverted"
    assert running.rollout.standing()["pending"] is None
    running.rollout.tick(5000.0)
    assert running.reported().count("reverted") == 1


def test_one_thing_at_a_time(running: RestartedController) -> None:
    running.rollout.apply(running.keep("second"), ANA, 60.0, 5.0)
    with pytest.raises(RolloutError, match="waits to be confirmed"):
        running.rollout.apply(running.keep("third"), ANA, None, 6.0)
    assert running.policy == "second"
    running.rollout.roll_back(None, ANA, 7.0)
    assert running.policy == "first"
    running.rollout.tick(100.0)
    assert running.policy == "first"
    assert "reverted" not in running.reported()


def test_rolling_back_goes_one_by_one_or_to_a_version(running: RestartedController) -> None:
    second, third = running.keep("second"), running.keep("third")
    running.rollout.apply(second, ANA, None, 5.0)
    running.rollout.apply(third, ANA, None, 6.0)
    running.write("second").write_text("nonsense")
    assert running.rollout.roll_back(None, ANA, 7.0)["policy"] == "second"
    assert running.rollout.roll_back(None, ANA, 8.0)["policy"] == "first"
    with pytest.raises(RolloutError, match="no version before"):
        running.rollout.roll_back(None, ANA, 9.0)
    assert running.rollout.roll_back(third, ANA, 10.0)["policy"] == "third"
    assert running.rollout.roll_back(None, ANA, 11.0)["policy"] == "first"


def test_what_is_staged_changes_nothing_until_it_is_applied(running: RestartedController) -> None:
    with pytest.raises(RolloutError, match="nothing is staged"):
        running.rollout.apply(None, ANA, None, 4.0)
    second = running.keep("second")
    running.rollout.stage(second, ANA, 5.0)
    assert running.policy == "first"
    running.start(6.0)
    assert running.rollout.apply(None, ANA, None, 7.0)["version"] == second
    assert running.policy == "second"
    with pytest.raises(RolloutError, match="nothing is staged"):
        running.rollout.apply(None, ANA, None, 8.0)


def test_what_cannot_be_done_changes_nothing(
    running: RestartedController, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = running.versions.standing()
    assert not answered(lambda: running.rollout.apply(99, ANA, None, 5.0))["ok"]
    for within in (0.0, -1.0, 1e9):
        with pytest.raises(RolloutError, match="confirm-within"):
            running.rollout.apply(running.keep("second"), ANA, within, 5.0)
    path = running.directory / "wrong.yaml"
    path.write_text((TEXT % "wrong").replace("to: web", "to: wbe"))
    number = running.versions.keep([str(path)], {str(path): path.read_text()}, "ana", 1.0).number
    answer = answered(lambda: running.rollout.apply(number, ANA, None, 5.0))
    assert not answer["ok"] and "wbe" in answer["errors"][0]
    # Too much for the tables: two names with one number.
    twins = (TEXT % "twins").replace("name: one,", "name: plumless,")
    twin = "  - {name: buckeroo, from: any, to: web, services: [tcp/81]}\ndefaults:"
    path.write_text(twins.replace("defaults:", twin))
    number = running.versions.keep([str(path)], {str(path): path.read_text()}, "ana", 1.0).number
    answer = answered(lambda: running.rollout.apply(number, ANA, None, 5.0))
    assert not answer["ok"] and "same number" in answer["errors"][0]
    assert running.versions.standing() == before
    assert running.policy == "first"
    assert running.effects == []


def test_a_way_back_that_fails_is_said_and_tried_again(
    running: RestartedController, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.rollout.apply(running.keep("second"), ANA, 60.0, 5.0)

    def broken(_: Versions, number: int) -> None:
        raise VersionError(f"version {number} is damaged")

    with monkeypatch.context() as broken_for_now:
        broken_for_now.setattr(Versions, "version", broken)
        running.rollout.tick(65.0)
        running.rollout.tick(66.0)
    logs = [effect.text for effect in running.effects if isinstance(effect, Log)]
    assert len(logs) == 1 and "cannot be put back: version 1 is damaged" in logs[0]
    assert running.policy == "second"
    running.rollout.tick(95.0)
    assert running.policy == "first"


class Killed(BaseException):
    """The process ends here, whatever it was about to do."""


@pytest.mark.parametrize("what", ["apply", "confirm", "roll back", "revert"])
@pytest.mark.parametrize("step", range(12))
def test_killed_at_any_step_the_next_start_finds_one_whole_policy(
    running: RestartedController, monkeypatch: pytest.MonkeyPatch, what: str, step: int
) -> None:
    """What goes to disk goes there by these calls; the process dies before the n-th of them."""
    second = running.keep("second")
    if what != "apply":
        running.rollout.apply(second, ANA, 60.0, 5.0)
    left = step

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return call(*arguments, **more)

        return instead

    with monkeypatch.context() as dying:
        for name in ("open", "fsync", "replace"):
            dying.setattr(f"response.state.policy_versions.os.{name}", counted(getattr(os, name)))
        try:
            if what == "apply":
                running.rollout.apply(second, ANA, 60.0, 5.0)
            elif what == "confirm":
                running.rollout.confirm(ANA, 6.0)
            elif what == "roll back":
                running.rollout.roll_back(None, ANA, 6.0)
            else:
                running.rollout.tick(65.0)
        except Killed:
            pass
    running.start(10.0)
    standing = running.versions.standing()
    assert running.policy in ("first", "second")
    assert (
        running.core.desired_state.policy
        == running.versions.version(standing.in_force or 0).policy()
    )
    # On probation it still is, or never was, or it was decided: never for good by accident.
    running.rollout.tick(66.0)
    confirmed = any(e.what == "confirmed" for e in running.versions.standing().events)
    assert running.policy == ("second" if confirmed else "first")

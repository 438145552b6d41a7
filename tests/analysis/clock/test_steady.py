"""The time of a state directory: exact over a restart, careful over a start of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.clock import steady
from analysis.clock.steady import Anchor, SteadyClock, anchored, kept_in, time_in

pytestmark = pytest.mark.threat("clock-steps")

NOON = 1_800_000_000.0
KEPT = Anchor("boot-1", 500.0, NOON)
STEPS = (901.0, -901.0, -3600.0, 86_400.0)


class MachineClocks:
    """Clocks that a test sets."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.boot, self.elapsed, self.system = "boot-1", 500.0, NOON
        patch.setattr(steady, "boot", lambda: self.boot)
        patch.setattr(steady, "elapsed", lambda: self.elapsed)
        patch.setattr(steady, "system_time", lambda: self.system)

    def wait(self, seconds: float) -> None:
        self.elapsed += seconds
        self.system += seconds

    def start_again(self, off: float) -> None:
        """The machine is switched off for a while; its battery keeps the system's clock."""
        self.boot, self.elapsed = "boot-2", 20.0
        self.system += off


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> MachineClocks:
    return MachineClocks(monkeypatch)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_changes_neither_this_process_nor_the_next_one(
    machine: MachineClocks, tmp_path: Path, step: float
) -> None:
    clock = SteadyClock()
    clock.keep(tmp_path)
    machine.wait(10)
    machine.system += step
    assert clock.now() == NOON + 10
    assert clock.system_ahead() == step
    machine.wait(30)
    another = SteadyClock()
    another.follow(tmp_path)
    assert another.now() == clock.now() == time_in(tmp_path) == NOON + 40
    assert another.system_ahead() == step


def test_a_machine_that_was_off_goes_by_the_system_clock(
    machine: MachineClocks, tmp_path: Path
) -> None:
    SteadyClock().keep(tmp_path)
    machine.start_again(off=300)
    clock = SteadyClock()
    clock.follow(tmp_path)
    assert clock.now() == NOON + 300
    assert clock.system_ahead() == 0


def test_a_machine_whose_clock_is_behind_after_its_start_goes_on_where_it_was(
    machine: MachineClocks, tmp_path: Path
) -> None:
    SteadyClock().keep(tmp_path)
    machine.start_again(off=-86_400)
    clock = SteadyClock()
    clock.follow(tmp_path)
    assert clock.now() == NOON, "nothing ends earlier than it would have"
    assert clock.system_ahead() == -86_400, "and it is noticed"
    machine.wait(900)
    assert clock.now() == NOON + 900, "nor is it held for longer"
    clock.keep(tmp_path)
    machine.system += 86_400 + 20  # the network's time comes in
    assert clock.now() == time_in(tmp_path) == NOON + 900


def test_a_suspended_machine_lets_deadlines_pass(machine: MachineClocks, tmp_path: Path) -> None:
    clock = SteadyClock()
    clock.keep(tmp_path)
    machine.wait(8 * 3600)  # the clock since the boot goes on meanwhile
    assert clock.now() == NOON + 8 * 3600
    assert clock.system_ahead() == 0


def test_a_clock_since_the_boot_that_went_back_is_another_boot() -> None:
    assert anchored(KEPT, "boot-1", 100.0, NOON + 50) == Anchor("boot-1", 100.0, NOON + 50)
    assert anchored(KEPT, "boot-1", 100.0, NOON - 50) == Anchor("boot-1", 100.0, NOON)


def test_where_boots_are_not_numbered_each_start_is_one() -> None:
    kept = Anchor("", 500.0, NOON)
    assert anchored(kept, "", 600.0, NOON + 7_000) == Anchor("", 600.0, NOON + 7_000)


@pytest.mark.parametrize("data", [b"", b"{", b'{"boot": 1}', b"x" * 5_000])
def test_a_damaged_file_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / steady.FILE).write_bytes(data)
    assert kept_in(tmp_path) is None


def test_it_is_kept_whole_and_private(machine: MachineClocks, tmp_path: Path) -> None:
    SteadyClock().keep(tmp_path)
    assert kept_in(tmp_path) == KEPT
    assert (tmp_path / steady.FILE).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [steady.FILE]


def test_many_restarts_move_nothing(machine: MachineClocks, tmp_path: Path) -> None:
    SteadyClock().keep(tmp_path)
    for _ in range(10_000):
        machine.elapsed += 0.1
        clock = SteadyClock()
        clock.follow(tmp_path)
        clock.keep(tmp_path)
    assert clock.now() == pytest.approx(NOON + 1_000, abs=0.01)

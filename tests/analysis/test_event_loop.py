"""The analysis process and messages that it cannot process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from response.ipc.messages import Enforce, PolicyApplied, Ready, RecordsSeen, SwitchChanged
from tests.support.controller_end import (
    HOST,
    POLICY,
    ControllerEnd,
    a_quiet_day_and_a_sweep,
)
from topology.records import FlowRecord

pytestmark = [pytest.mark.thorough, pytest.mark.threat("supervised-loops")]

RAISES = """
import sys
from analysis.pipeline import Analysis
from analysis.process import main
real = Analysis.{method}
calls = []
def faulty(self, *arguments):
    calls.append(arguments)
    if {when}:
        raise RuntimeError("a fault for the test")
    return real(self, *arguments)
Analysis.{method} = faulty
sys.exit(main())
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY % "\n".join(HOST.format(n=n) for n in range(1, 41)))
    return path


@pytest.fixture
def started(tmp_path: Path, policy: Path) -> Iterator[list[ControllerEnd]]:
    made: list[ControllerEnd] = []
    yield made
    for each in made:
        each.link.close()
        each.process.kill()
        each.process.wait()


def decided(controller: ControllerEnd) -> Enforce:
    """What a sweep leads to, which shows that the process still does all of its work."""
    controller.tell(RecordsSeen(a_quiet_day_and_a_sweep(time.time())))
    while not isinstance(found := controller.hear(), Enforce):
        pass
    return found


@pytest.mark.parametrize(
    ("method", "when"),
    [
        ("step", "type(arguments[0]).__name__ == 'SwitchChanged'"),
        ("tick", "len(calls) > 1"),
        ("_score", "arguments[0].src_ip == '10.9.9.9'"),
        ("use_policy", "True"),
    ],
)
def test_a_fault_is_counted_and_the_process_goes_on(
    tmp_path: Path, policy: Path, started: list[ControllerEnd], method: str, when: str
) -> None:
    controller = ControllerEnd(tmp_path / "state", policy, RAISES.format(method=method, when=when))
    started.append(controller)
    assert isinstance(controller.hear(), Ready)
    controller.tell(SwitchChanged(1.0, 1, "connected", ""))
    poisoned = FlowRecord(time.time(), "10.9.9.9", "10.0.0.2", "tcp", 1, 2, phase="start")
    controller.tell(RecordsSeen((poisoned,) * 3))
    controller.tell(PolicyApplied(time.time(), (str(policy),), "one"))
    assert decided(controller).decision.target == "h7"
    time.sleep(0.7)  # the clock's turn has come
    controller.link.close()
    controller.process.wait(20)
    assert controller.process.stderr is not None
    log = controller.process.stderr.read()
    assert log.count("Traceback") == 1 and "a fault for the test" in log

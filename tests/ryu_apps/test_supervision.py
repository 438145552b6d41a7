"""A controller process in which something raises: it goes on, counts it, and reports it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.openflow_load import LoadSwitch
from console.clients.controller import ask_controller
from console.errors import CommandError
from mininet_tests.lab.controller import ROOT, free_port
from tests.support.faulty_controller import PROBLEM, TIMES
from tests.support.running_controller import policy_without_switches

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(60), pytest.mark.threat("supervised-loops")]

PROGRAM = ROOT / "tests" / "support" / "faulty_controller.py"
PATIENCE = 15.0


class FaultyController:
    """A running `tests.support.faulty_controller`."""

    def __init__(self, directory: Path, fault: str, analysis: str) -> None:
        self.state, self.log = directory / "state", directory / "log"
        self.ready = directory / "ready"
        self.port = free_port()
        settings = {
            "policy_paths": [str(policy_without_switches(directory))], "state": str(self.state),
            "port": self.port,
            "ready_file": str(self.ready), "analysis": analysis,
        }  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), fault, json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def until(self, wanted: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if found := wanted():
                    return found
            except CommandError:  # it does not listen yet, or the request met the fault
                pass
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def loops(self) -> dict[str, Any]:
        answer = ask_controller(self.state, {"do": "status"}, 5.0)
        return dict(answer["loops"])


@contextmanager
def faulty(directory: Path, fault: str, analysis: str = "none") -> Iterator[FaultyController]:
    running = FaultyController(directory, fault, analysis)
    try:
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(15)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()


@pytest.mark.parametrize(
    ("fault", "loop"), [("clock", "clock"), ("control_socket", "control socket")]
)
def test_a_loop_goes_on_after_an_exception_and_status_counts_it(
    tmp_path: Path, fault: str, loop: str
) -> None:
    with faulty(tmp_path, fault) as running:
        running.until(running.ready.exists)
        running.until(lambda: not running.loops()[loop]["failing"])
        found = running.loops()[loop]
        assert found["failures"] == TIMES
        assert PROBLEM in found["latest"]
        assert running.log.read_text().count("Traceback") == 1, "the repeated ones are counted"


def test_the_analysis_is_started_after_its_start_failed(tmp_path: Path) -> None:
    with faulty(tmp_path, "analysis_link", "process") as running:
        running.until(running.ready.exists)
        assert running.until(running.loops)["analysis link"]["failures"] == TIMES


def test_a_request_that_meets_a_fault_is_answered(tmp_path: Path) -> None:
    with faulty(tmp_path, "control_request") as running:
        running.until(running.ready.exists)
        with pytest.raises(CommandError, match="the controller refused: .*RuntimeError"):
            ask_controller(running.state, {"do": "status"})
        assert running.until(running.loops)["control request"]["failures"] == TIMES


def test_what_the_library_catches_of_our_handlers_is_counted_and_logged(tmp_path: Path) -> None:
    with faulty(tmp_path, "switch_event") as running:
        running.until(running.ready.exists)
        for number in range(TIMES + 1):
            switch = LoadSwitch(("127.0.0.1", running.port), dpid=number + 1)
            switch.connect()
            switch.wait(lambda: False, 0.3)
        assert running.until(running.loops)["switch event"]["failures"] == TIMES
        assert PROBLEM in running.log.read_text()

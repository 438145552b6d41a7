"""Who may speak for a datapath id: the connection that answers, and the certificate bound to it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.openflow_load import LoadSwitch
from console.clients.controller import ask_controller
from mininet_tests.lab.controller import ROOT, Controller, free_port
from policies.compiler.switches_file import read_switches
from tests.support.running_controller import running, status, until

pytestmark = pytest.mark.threat("switch-identity")
KNOWN = 42


@contextmanager
def answering(switch: LoadSwitch) -> Iterator[None]:
    """Let a connected switch go on answering meanwhile."""
    done = threading.Event()

    def answer() -> None:
        while not done.is_set():
            switch.wait(lambda: False, 0.05)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def connect(controller: Controller) -> LoadSwitch:
    switch = LoadSwitch(("127.0.0.1", controller.options.of_port), dpid=KNOWN)
    switch.connect()
    return switch


def checked(controller: Controller) -> list[Any]:
    """The state of each switch by a comparison that it must answer."""
    answer = ask_controller(controller.options.state, {"do": "check"}, 20)
    return [(each["switch"], each["state"]) for each in answer["switches"]]


@pytest.mark.thorough
@pytest.mark.xfail(strict=True, reason="a second connection takes the place of the first")
def test_a_second_connection_does_not_take_the_place_of_one_that_answers(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        until(controller, 20, lambda: status(controller))
        right = connect(controller)
        right.settle()
        with answering(right):
            wrong = connect(controller)
            with pytest.raises((ConnectionError, OSError)):
                wrong.wait(lambda: False, 8)
            wrong.close()
            assert checked(controller) == [(KNOWN, "right")]
            assert status(controller)["lost"]["connections_refused"] == 1
            assert f"switch {KNOWN}: a second connection" in controller.log
        right.close()


@pytest.mark.xfail(strict=True, reason="the switches file binds no certificate to a datapath id")
def test_a_datapath_id_is_bound_to_a_certificate(tmp_path: Path) -> None:
    file = tmp_path / "switches.yaml"
    file.write_text("switches: {1: {certificate: leaf1}, 2: {}}\n")
    assert "leaf1" in repr(read_switches(file).of(1))


@pytest.mark.xfail(strict=True, reason="nothing is said about switches in the clear")
def test_switches_in_the_clear_on_a_routable_address_are_warned_of(tmp_path: Path) -> None:
    policy, port = ROOT / "policies/examples/shop.yaml", free_port()
    words = ["run", "--policy", str(policy), "--state", str(tmp_path / "s"), "--analysis", "none"]
    command = [sys.executable, "-m", "console", *words, "--of-host", "0.0.0.0"]
    with subprocess.Popen(
        [*command, "--of-port", str(port)], stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        try:
            threading.Timer(10, process.terminate).start()
            assert any("in the clear" in line for line in process.stderr)
        finally:
            process.terminate()

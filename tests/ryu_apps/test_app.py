"""The OpenFlow application in a real process, with switches that connect over real sockets."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.openflow_load import LoadSwitch, message, packet_in
from console.clients.controller import ask_controller
from console.errors import CommandError
from mininet_tests.lab.controller import Controller, free_port
from policies.rules import layout
from policies.rules.layout import Reason
from policies.rules.rule import Field
from response.state.policy_versions import Versions
from response.state.store import Store
from ryu_apps.connections.driving import ANSWER_WITHIN
from ryu_apps.openflow.encode import field_bytes
from tests.support.controller_rig import arp
from tests.support.running_controller import POLICY, running, status, until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(120)]

PORT_STATUS, PORT_DELETED = 12, 1
STRANGER = ("02:00:00:00:00:77", "10.0.9.77")
FREE_PORT = 8


def connected(controller: Controller, number: int = 1) -> LoadSwitch:
    switch = LoadSwitch(("127.0.0.1", controller.options.of_port), dpid=number)
    switch.connect()
    switch.settle()
    return switch


def state_of(controller: Controller, number: int = 1) -> dict[str, Any]:
    switches: list[dict[str, Any]] = status(controller)["switches"]
    return next((each for each in switches if each["switch"] == number), {})


def from_stranger(port: int = FREE_PORT) -> bytes:
    """The copy of a packet whose source no rule admits."""
    fields = (Field("in_port", port), Field("reg0", Reason.GUARD << layout.REASON.low))
    data = b"".join(field_bytes(field) for field in fields)
    return packet_in(data, arp(*STRANGER, "10.0.1.11"))


def port_deleted(number: int) -> bytes:
    port = struct.pack("!I4x6s2x16sIIIIIIII", number, bytes(6), b"p", *(0,) * 8)
    return message(PORT_STATUS, 9, struct.pack("!B7x", PORT_DELETED) + port)


def macs(controller: Controller) -> set[str]:
    return {each["mac"] for each in status(controller)["hosts"]}


def test_a_switch_gets_its_rules_and_then_the_controller_is_ready(tmp_path: Path) -> None:
    with running(tmp_path, switches=1) as controller:
        assert not (tmp_path / "controller.ready").exists()
        switch = connected(controller)
        controller.wait_ready()
        state = state_of(controller)
        assert (state["phase"], state["kind"], state["ports"]) == (
            "ready", "stateful", list(range(1, 9)),
        )  # fmt: skip
        assert state["rules"] == len(switch.switch.rules) > 100
        assert switch.errors == 0 and state["late_replies"] == 0
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask_controller, controller.options.state, {"do": "check"})
            switch.wait(asked.done, 15)
        assert [each["state"] for each in asked.result()["switches"]] == ["right"]


def test_ports_that_go_are_followed_and_a_stranger_is_remembered_over_a_restart(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as controller:
        until(controller, 20, lambda: status(controller))
        switch = connected(controller)
        switch._out += from_stranger()
        switch.wait(lambda: STRANGER[0] in macs(controller), 10)
        assert STRANGER[0] in macs(controller)
        switch._out += port_deleted(7)
        switch.wait(lambda: 7 not in state_of(controller)["ports"], 10)
        assert state_of(controller)["ports"] == [1, 2, 3, 4, 5, 6, 8]
        rules = len(switch.switch.rules)
        assert controller.stop() == 0
        assert len(switch.switch.rules) == rules, "the switch keeps its rules"
        controller.start()
        until(controller, 20, lambda: STRANGER[0] in macs(controller))
    store = Store.open(tmp_path / "state", 0.0)
    assert STRANGER in {(each.mac, each.ip) for each in store.bindings()}
    store.close()


def test_a_switch_that_connects_again_takes_the_place_of_a_connection_that_is_dead(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as controller:
        until(controller, 20, lambda: status(controller))
        old = connected(controller)
        new = LoadSwitch(("127.0.0.1", controller.options.of_port), dpid=1)
        new.connect()
        new.wait(lambda: bool(new.switch.rules), ANSWER_WITHIN + 3)
        assert new.switch.rules, "the old one answered nothing"
        new.settle()
        old._out += from_stranger()
        with pytest.raises(OSError):
            old.wait(lambda: False, 5)
        assert STRANGER[0] not in macs(controller), "what the old connection sends is ignored"
        old.close()
        new.wait(lambda: False, 0.5)
        assert state_of(controller)["phase"] == "ready", "its end is not the switch's"
        new._out += from_stranger()
        new.wait(lambda: STRANGER[0] in macs(controller), 10)
        assert STRANGER[0] in macs(controller)
        new.close()
        until(controller, 10, lambda: not state_of(controller))
        assert status(controller)["lost"]["faults"] == 0


def test_it_ends_in_order_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, switches=1) as controller:
        switch = connected(controller)
        controller.wait_ready()
        os.kill(controller.pid, signal.SIGTERM)
        with pytest.raises(OSError):
            switch.wait(lambda: False, 20)
        assert controller.stop() == 0
        assert "stopped; the switches keep their rules" in controller.log
        assert "Traceback" not in controller.log
        assert not (tmp_path / "controller.ready").exists()
        with pytest.raises(Exception, match="no controller"):
            status(controller)


@pytest.mark.threat("claimed-names")
def test_a_change_of_the_policy_records_who_the_kernel_says_asked(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        state = controller.options.state
        request = {"do": "apply", "version": 1, "by": "somebody else"}
        controller.wait_ready()
        assert ask_controller(state, request)["ok"]
        with pytest.raises(CommandError, match="printable"):
            ask_controller(state, {**request, "by": "ana\x1b[2J"})
    event = Versions(state).standing().events[-1]
    assert event.by == "somebody else"
    assert event.peer is not None and event.peer.uid == os.getuid()


@pytest.mark.threat("file-scope")
def test_a_ready_file_that_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("precious")
    options = ["--policy", str(POLICY), "--state", str(tmp_path / "s"), "--ready-file", str(ready)]
    refused = subprocess.run(
        [sys.executable, "-m", "console", "run", *options, "--of-port", str(free_port())],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 2 and str(ready) in refused.stderr
    assert ready.read_text() == "precious"


@pytest.mark.threat("file-scope")
def test_at_the_end_only_its_own_ready_file_is_deleted(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        controller.wait_ready()
        ready = tmp_path / "controller.ready"
        assert ready.exists()
        ready.unlink()
        ready.write_text("precious")
        controller.stop()
    assert ready.read_text() == "precious"

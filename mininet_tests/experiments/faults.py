"""Faults and their effect on traffic: streams of allowed and denied datagrams, counted.

A fault is a function that does something to a running lab; `under_traffic`
counts what came through while it happened.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from console.clients.controller import ask_controller
from mininet_tests.experiments.restricting_proxy import RestrictingProxy
from mininet_tests.experiments.updates import ALLOWED, DENIED, STREAMS, start_stream
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.machine import said, vsctl

RATE = 500.0  # datagrams a second of each kind
BEFORE = 0.5  # seconds of traffic before the fault
Fault = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Felt:
    """Datagrams lost of the allowed, and of the denied that passed; ``sent`` of each kind.

    ``flow_mods`` are those that the controller sent since it last started.
    """

    sent: int
    lost: int
    leaked: int
    flow_mods: int


def status(controller: Controller) -> dict[str, Any]:
    return ask_controller(controller.options.state, {"do": "status"})


def wait_for(wanted: Callable[[], bool], seconds: float, what: str) -> None:
    """Raises TimeoutError when it does not come about in time."""
    until = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} after {seconds:g} s")
        time.sleep(0.1)


def under_traffic(lab: Lab, controller: Controller, fault: Fault, seconds: float) -> Felt:
    """Do something after `BEFORE` seconds of ``seconds`` of traffic, and count."""
    heard = start_stream(
        lab.host("b1"), "receive", "10.0.0.3", f"{ALLOWED},{DENIED}", str(seconds + 2), ready=True
    )
    senders = [
        start_stream(lab.host(name), "send", "10.0.0.3", str(port), str(RATE), str(seconds))
        for name, port in STREAMS
    ]
    time.sleep(BEFORE)
    fault()
    allowed, denied = (json.loads(each.communicate(timeout=90)[0]) for each in senders)
    came = json.loads(heard.communicate(timeout=30)[0])
    flow_mods = sum(each["flow_mods"] for each in status(controller)["switches"])
    return Felt(min(allowed, denied), allowed - came[str(ALLOWED)], came[str(DENIED)], flow_mods)


def controller_killed(controller: Controller, dead_for: float = 2.0) -> Fault:
    """SIGKILL, and started again."""

    def fault() -> None:
        controller.kill()
        time.sleep(dead_for)
        controller.start()
        controller.wait_ready()

    return fault


def analysis_killed(controller: Controller) -> Fault:
    """SIGKILL the analysis process, which must be restarted."""

    def fault() -> None:
        os.kill(status(controller)["analysis"]["pid"], signal.SIGKILL)

        def back() -> bool:
            analysis = status(controller)["analysis"]
            return bool(analysis["restarts"] and analysis["ready"])

        wait_for(back, 20.0, "no analysis")

    return fault


def link_hung(proxy: RestrictingProxy, hung_for: float) -> Fault:
    """Cut the connection to the controller for a while."""

    def fault() -> None:
        proxy.hang()
        time.sleep(hung_for)
        proxy.cut()
        proxy.mend()

    return fault


def switch_emptied(lab: Lab, controller: Controller) -> Fault:
    """A switch comes back from a restart: no rules, no meters, no connections, a new session."""

    def fault() -> None:
        bridge = lab.bridge(1)
        lab.ofctl(1, "del-flows")
        lab.ofctl(1, "del-meters")
        said(["ovs-appctl", "dpctl/flush-conntrack"], timeout=5)
        said(["ovs-appctl", "bridge/reconnect", bridge], timeout=5)
        time.sleep(0.5)

        def right() -> bool:
            sessions = status(controller)["switches"]
            return len(sessions) == 2 and all(each["phase"] == "ready" for each in sessions)

        wait_for(right, 20.0, "switch not ready")

    return fault


def second_controller(lab: Lab, first: Controller, second: Controller, wanted: str) -> Fault:
    """Start a second controller by mistake, with every switch connected to both."""

    def fault() -> None:
        second.start()
        targets = [first.options.target, second.options.target]
        for switch in lab.plan.switches:
            vsctl("set-controller", lab.bridge(switch), *targets)

        def seen() -> bool:
            try:
                sessions = status(second)["switches"]
            except Exception:  # it may not listen yet
                return False
            return len(sessions) == len(lab.plan.switches) and all(
                each["phase"] == wanted for each in sessions
            )

        wait_for(seen, 30.0, f"second controller not {wanted}")

    return fault

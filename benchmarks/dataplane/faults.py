"""Policies exchanged and things broken under traffic: packets lost and leaked, on real switches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.runner import Benchmark, Figure, Target
from mininet_tests.experiments import faults
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.restricting_proxy import Limits, RestrictingProxy
from mininet_tests.experiments.updates import Exchanged, exchange, policy
from mininet_tests.lab.controller import Controller, free_port
from mininet_tests.lab.lab import Lab
from topology.records import Link

LINKS = (Link(1, 9, 2, 9),)
CHANGES, RATE, EVERY = 50, 3_000.0, 0.4  # a second each kind; seconds between changes
CUT = 30.0  # seconds without a link to the controller


@cache
def exchanged() -> Exchanged:
    with controlled(policy(0), LINKS, ("--analysis", "none")) as (lab, controller):
        return exchange(lab, controller, CHANGES, RATE, EVERY)


def packets() -> Figure:
    seen = exchanged()
    note = f"datagrams during {seen.changes} changes of policy with {seen.flow_mods} flow-mods"
    return Figure(seen.allowed_sent + seen.denied_sent, note)


def lost() -> Figure:
    seen = exchanged()
    return Figure(seen.allowed_sent - seen.allowed_came, f"of {seen.allowed_sent:,} allowed")


def leaked() -> Figure:
    seen = exchanged()
    return Figure(seen.denied_came, f"of {seen.denied_sent:,} denied")


@cache
def felt(what: str) -> faults.Felt:
    """One kind of fault, on a network of its own."""
    with controlled(policy(0), LINKS) as (lab, controller):
        return FAULTS[what](lab, controller)


def _controller(lab: Lab, controller: Controller) -> faults.Felt:
    return faults.under_traffic(lab, controller, faults.controller_killed(controller), 8.0)


def _analysis(lab: Lab, controller: Controller) -> faults.Felt:
    return faults.under_traffic(lab, controller, faults.analysis_killed(controller), 8.0)


def _link(lab: Lab, controller: Controller) -> faults.Felt:
    with RestrictingProxy(Limits(), controller.options.of_port) as proxy:
        lab.set_controller(f"tcp:127.0.0.1:{proxy.port}")
        faults.wait_for(lab.connected, 20, "not connected")
        time.sleep(1.0)
        return faults.under_traffic(lab, controller, faults.link_hung(proxy, CUT), CUT + 5.0)


def _switch(lab: Lab, controller: Controller) -> faults.Felt:
    return faults.under_traffic(lab, controller, faults.switch_emptied(lab, controller), 8.0)


def _second(lab: Lab, controller: Controller) -> faults.Felt:
    with TemporaryDirectory(prefix="septum-") as name:
        options = replace(controller.options, state=Path(name) / "state", of_port=free_port())
        second = Controller(options, Path(name))
        try:
            mistake = faults.second_controller(lab, controller, second, "standby")
            return faults.under_traffic(lab, controller, mistake, 8.0)
        finally:
            second.kill()


FAULTS: dict[str, Callable[[Lab, Controller], faults.Felt]] = {
    "controller_killed": _controller,
    "analysis_killed": _analysis,
    "link_cut": _link,
    "switch_restarted": _switch,
    "two_controllers": _second,
}


def _leaked(what: str) -> Callable[[], Figure]:
    def measure() -> Figure:
        seen = felt(what)
        return Figure(seen.leaked, f"of {seen.sent:,} denied datagrams passed")

    return measure


def _lost(what: str) -> Callable[[], Figure]:
    def measure() -> Figure:
        seen = felt(what)
        return Figure(seen.lost, f"of {seen.sent:,} allowed datagrams; {seen.flow_mods} flow-mods")

    return measure


NONE = Target("==", 0.0)
BENCHMARKS = (
    Benchmark("dataplane.update_packets", Target(">=", 100_000.0), packets),
    Benchmark("dataplane.update_lost", NONE, lost),
    Benchmark("dataplane.update_leaked", NONE, leaked),
    *(Benchmark(f"dataplane.{what}_leaked", NONE, _leaked(what)) for what in FAULTS),
    *(
        Benchmark(f"dataplane.{what}_lost", NONE, _lost(what))
        for what in FAULTS
        if what != "switch_restarted"  # while it is down it forwards nothing
    ),
)

"""A rule that Open vSwitch refuses is left out alone, and the switch keeps its kind of rules."""

from __future__ import annotations

import time

import pytest

from mininet_tests.lab.machine import said
from policies.compiler.targets import SwitchTarget
from tests.support.controller_rig import POLICY
from tests.support.live.driven_switch import BRIDGE, DPID, bridge, driven
from topology.records import Binding

BAD, GOOD = "02:00:00:00:00:09", "02:00:00:00:00:08"
TOO_HIGH = 0x1_0007  # a port number that no register holds


def dumped() -> str:
    return said(["ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", BRIDGE], timeout=20)


@pytest.mark.timeout(60)
@pytest.mark.threat("reported-ports")
def test_one_bad_binding_costs_its_own_rules_and_nothing_else() -> None:
    with bridge() as door, driven(POLICY, door) as running:
        hosts = running.core.network.hosts
        # As an earlier version stored it; `restore` would not take it.
        hosts._add(Binding(BAD, "10.0.9.9", DPID + 1, TOO_HIGH))
        hosts._add(Binding(GOOD, "10.0.9.8", DPID + 1, 7))
        running.core.desired_state.hosts_changed()
        running.core.desired_state.prepare(time.time())
        session = running.core.sessions[DPID]
        running.turn_until(lambda: bool(session.left_out.rules))
        running.turn_until(lambda: session.idle and not session.problem and session.confirmed)
        there = dumped()
        assert GOOD in there and BAD not in there
        assert session.profile.target is SwitchTarget.STATEFUL
        assert session.counters.failures == 1
        wanted = running.core.reconciler.rules(session, time.time())
        assert not session.difference(wanted).changes
        assert len(session.installed) == len(wanted) - len(session.left_out.rules)

"""Each action of a machine decision under running connections, on two switches and back again."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from console.clients.controller import ask_controller
from mininet_tests.live.conftest import MakeController, MakeLab
from policies.rules.layout import Category, RuleTable, category_of
from response.state.store import Store
from tests.support.live.operating import PROPOSAL, asked, propose, rules
from tests.support.live.streams import AT_ONCE, start
from topology.records import Link

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: actions}
hosts:
  suspect: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {role: pc}}
  admin: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {role: admin}}
  peer: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 2, port: 1, labels: {role: pc}}
  dns: {mac: "02:00:00:00:00:04", ip: [10.0.0.4], switch: 2, port: 2, labels: {role: dns}}
segments:
  pcs: {members: [{labels: {role: pc}}], mode: enforce, adapt: auto}
  admins: {members: [{labels: {role: admin}}], mode: enforce}
  servers: {members: [{labels: {role: dns}}], mode: enforce}
intents:
  - {name: pcs-talk, from: pcs, to: [pcs, servers], services: [udp/7000]}
  - {name: break-glass, from: admins, to: pcs, services: [udp/7022], tier: emergency}
defaults: {action: deny, mode: enforce}
adaptive:
  actions: [alert, rate_limit, isolate, quarantine]
  protected: [{labels: {role: dns}}]
  max_hosts: 3
  ttl: 10m
  rate_limit: 40pps
"""
PHASE = 1.0  # seconds


@pytest.mark.timeout(90)
def test_actions_stop_both_ways_what_they_say_and_nothing_else(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    actions = (("d1", "isolate"), ("d2", "quarantine"), ("d3", "rate_limit"))
    propose(
        tmp_path / "state",
        *(
            structs.replace(PROPOSAL, id=name, number=number, action=action)
            for number, (name, action) in enumerate(actions, 1)
        ),
    )
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    running = controller(network)
    before = rules(network)
    seconds = 5 * PHASE + 4.0
    wanted = {
        "starts": ("suspect", "peer", 7000),
        "answers": ("peer", "suspect", 7000),
        "protected": ("suspect", "dns", 7000),
        "emergency": ("admin", "suspect", 7022),
    }
    streams = start(network, wanted, seconds)
    time.sleep(PHASE / 2)
    moments = [time.time()]
    for what, decision in (
        ("approve", "d1"),
        ("approve", "d2"),
        ("release", "d2"),
        ("approve", "d3"),
        ("release", "d3"),
    ):
        time.sleep(PHASE)
        moments.append(asked(running, what, decision))
    time.sleep(PHASE / 2)
    moments.append(time.time())
    for stream in streams.values():
        stream.finish()

    free, isolated, quarantined = (
        {"starts", "answers", "protected", "emergency"},
        {"answers", "protected", "emergency"},
        {"emergency"},
    )
    phases = [free, isolated, quarantined, free]
    for number, alive in enumerate(phases):
        since, until = moments[number], moments[number + 1]
        for name, stream in streams.items():
            if name in alive:
                assert stream.open_between(since + AT_ONCE, until), (number, name)
            else:
                assert stream.shut_between(since, until), (number, name)
    limited = moments[4] + AT_ONCE, moments[5]
    most = 40 * (limited[1] - limited[0]) + 4
    passed = sum(streams[name].count("out", *limited) for name in ("starts", "protected"))
    passed += streams["answers"].count("back", *limited)
    assert 0.5 * most <= passed <= 1.3 * most, "the limit is one for all that the host sends"
    assert streams["answers"].count("out", *limited) > most, "and for nothing that it gets"
    assert streams["emergency"].open_between(*limited), "nor for what tier emergency decides"

    assert rules(network) == before
    for dpid in network.plan.switches:
        assert "meter=268" not in network.ofctl(dpid, "dump-meters")
    store = Store.open(running.options.state, time.time(), create=False)
    kept = [store.decision(name) for name, _ in actions]
    assert [each.state for each in kept if each] == ["released"] * 3
    placed = {
        (told["decision"], switch, RuleTable(table).name, category_of(cookie))
        for told in (json.loads(each.data) for each in store.audit_entries(kind="confirmed"))
        for switch, table, cookie in told["rules"]
    }
    assert placed == {
        (name, switch, table, Category.DECISION)
        for name, tables in (
            ("d1", ("MARK_SOURCE",)),
            ("d2", ("MARK_SOURCE", "MARK_TARGET")),
            ("d3", ("ADAPTIVE",)),
        )
        for table in tables
        for switch in (1, 2)
    }
    store.close()


@pytest.mark.timeout(90)
def test_the_switch_itself_ends_a_decision_at_its_time(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    """The controller dies, comes back, finds nothing to send, and dies for good."""
    ttl = 14
    held = structs.replace(PROPOSAL, action="quarantine", ttl=ttl)
    propose(tmp_path / "state", held)
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    running = controller(network)
    streams = start(network, {"any": ("suspect", "peer", 7000)}, ttl + 12.0)
    time.sleep(0.5)
    began = asked(running, "approve", "d1")
    time.sleep(1.0)
    running.kill()
    running.options = replace(running.options, extra=("--analysis", "none"))
    running.start()
    running.wait_ready()
    switches = ask_controller(running.options.state, {"do": "status"})["switches"]
    assert [each["flow_mods"] for each in switches] == [0, 0], "what is there is not sent again"
    running.kill()
    assert time.time() < began + ttl - 1, "the machine is too slow for this test"
    time.sleep(began + ttl + 3 - time.time())
    until = time.time()
    streams["any"].finish()
    assert streams["any"].shut_between(began, began + ttl - 1)
    assert streams["any"].open_between(began + ttl + 1.5, until)
    for dpid in network.plan.switches:
        assert "hard_timeout" not in network.ofctl(dpid, "dump-flows", "--no-stats")

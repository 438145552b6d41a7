"""What threat feeds list, under running connections: stopped both ways, or only recorded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mininet_tests.lab.lab import Lab
from mininet_tests.live.conftest import MakeController, MakeLab
from policies.rules.layout import RuleTable
from response.state.interfaces import FlowFilter
from response.state.store import Store
from tests.support.live.operating import asked, septum
from tests.support.live.streams import start
from topology.records import Link

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: feeds}
hosts:
  web: {mac: "02:00:00:00:00:01", ip: [45.9.1.1], switch: 1, port: 1, labels: {role: web}}
  bad: {mac: "02:00:00:00:00:02", ip: [45.9.148.3], switch: 2, port: 1}
  odd: {mac: "02:00:00:00:00:03", ip: [45.9.148.9], switch: 2, port: 2}
segments:
  web: {members: [{labels: {role: web}}], mode: enforce}
intents:
  - {name: everything, from: any, to: any, services: [udp/7000, udp/7001]}
  - {name: rescue, from: web, to: any, services: [udp/7022], tier: emergency}
defaults: {action: deny, mode: enforce}
feeds:
  - {name: deny-list, path: deny.txt, format: cidr-list, mode: enforce, may_list_own: true}
  - {name: watch-list, path: watch.txt, format: cidr-list, mode: audit, may_list_own: true}
"""
OTHERS = "".join(f"91.{n >> 8}.{n & 255}.0/25\n" for n in range(5_000))


def listed(lab: Lab, dpid: int) -> int:
    """How many prefixes the switch looks for."""
    return lab.ofctl(dpid, "dump-flows", "--no-stats", f"table={int(RuleTable.LISTED)}").count(
        "cookie"
    )


def wait_for(lab: Lab, count: int) -> None:
    deadline = time.monotonic() + 30
    while (found := {listed(lab, dpid) for dpid in lab.plan.switches}) != {count}:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.timeout(90)
def test_a_deny_list_stops_both_ways_and_a_watch_list_only_records(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    (tmp_path / "deny.txt").write_text(OTHERS)
    (tmp_path / "watch.txt").write_text("127.0.0.9\n45.9.148.9\n")
    running = controller(network)
    wait_for(network, 5_001)
    wanted = {
        "to it": ("web", "bad", 7000),
        "from it": ("bad", "web", 7000),
        "watched": ("web", "odd", 7000),
        "rescue": ("web", "bad", 7022),
    }
    streams = start(network, wanted, 16.0)
    time.sleep(2.0)
    begun = time.time()
    (tmp_path / "deny.txt").write_text(OTHERS + "45.9.148.3\n")
    asked(running, "refresh", "deny-list")
    wait_for(network, 5_002)
    stopped = time.time()
    flow_mods = network.ofctl(1, "dump-flows", f"table={int(RuleTable.LISTED)}")
    time.sleep(1.0)
    (tmp_path / "deny.txt").write_text(OTHERS)
    went_on = asked(running, "refresh", "deny-list")
    wait_for(network, 5_001)
    free = time.time() + 0.1
    time.sleep(1.0)
    until = time.time()
    for stream in streams.values():
        stream.finish()
    for name in ("to it", "from it"):
        assert streams[name].open_between(begun - 1.0, begun), name
        assert streams[name].shut_between(stopped, went_on), name
        assert streams[name].open_between(free, until), name
    for name in ("watched", "rescue"):
        assert streams[name].open_between(begun, until), name
    ages = [
        float(line.partition("duration=")[2].partition("s")[0])
        for line in flow_mods.splitlines()
        if "duration=" in line
    ]
    assert sum(age < stopped - begun + 1.0 for age in ages) == 1, "one prefix more is one rule"

    dump = network.directory / "rules.txt"
    dump.write_text(network.ofctl(1, "dump-flows", "--no-stats"))
    policy, state = str(running.options.policy), str(running.options.state)
    command = ["policy", "verify", policy, "--switch", "1", "--link", "1:9=2:9"]
    command += ["--rules", str(dump), "--state", state]
    verified = septum(*command)
    assert verified.returncode == 0, verified.stdout
    text = dump.read_text()
    dump.write_text(text.replace("load:0x1->NXM_NX_REG0[18]", "load:0->NXM_NX_REG0[18]"))
    verified = septum(*command)
    assert verified.returncode == 1 and "altered: " in verified.stdout, verified.stdout[:2000]

    deadline = time.monotonic() + 10
    store = Store.open(running.options.state, time.time(), create=False)
    while True:
        flows = store.flows(FlowFilter(verdict="would-deny"))
        if flows or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    store.close()
    assert {(each.record.src_ip, each.record.dst_ip) for _, each in flows} == {
        ("45.9.1.1", "45.9.148.9")
    }

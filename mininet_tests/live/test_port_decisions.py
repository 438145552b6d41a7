"""A quarantined host that was discovered is its port, whatever identity it takes there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec import structs

from console.clients.controller import ask_controller
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.lab import RunningHost
from mininet_tests.lab.waiting import within
from mininet_tests.live.conftest import MakeController, MakeLab
from policies.rules.layout import Category, cookie
from tests.support.live.asking import opens
from tests.support.live.operating import PROPOSAL, asked, propose, rules
from topology.records import Link

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: ports}
hosts:
  srv: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 2, port: 1}
  bad: {mac: "02:00:00:00:00:05", ip: [10.0.1.5], switch: 1, port: 1}
  near: {mac: "02:00:00:00:00:06", ip: [10.0.1.6], switch: 1, port: 2}
segments:
  desks: {members: [{cidr: 10.0.1.0/24}], mode: enforce, adapt: auto}
  servers: {members: [{host: srv}], mode: enforce}
intents:
  - {name: desks-browse, from: desks, to: [servers, desks], services: [tcp/80]}
  - {name: servers-ask, from: servers, to: desks, services: [tcp/80]}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [alert, quarantine], max_hosts: 3, ttl: 10m}
"""
KNOWN = "\n".join(
    line for line in POLICY.splitlines() if not line.startswith(("  bad:", "  near:"))
)
HELD = f"cookie={cookie(Category.DECISION, 1):#x},"


def takes(host: RunningHost, mac: str, address: str) -> None:
    for words in (
        ["ip", "addr", "flush", "dev", "eth0", "scope", "global"],
        ["ip", "link", "set", "dev", "eth0", "address", mac],
        ["ip", "addr", "add", f"{address}/16", "dev", "eth0"],
    ):
        assert host.run(words).ok


def known(running: Controller, address: str) -> bool:
    hosts = ask_controller(running.options.state, {"do": "status"})["hosts"]
    return any(each["ip"] == address for each in hosts)


@pytest.mark.threat("host-is-its-port")
@pytest.mark.timeout(120)
def test_another_mac_and_address_lead_nowhere_and_a_neighbour_goes_on(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    held = structs.replace(
        PROPOSAL, action="quarantine", target="10.0.1.5", addresses=("10.0.1.5",)
    )
    propose(tmp_path / "state", held)
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    (tmp_path / "policy.yaml").write_text(KNOWN)
    running = controller(network)
    srv, bad, near = (network.host(name) for name in ("srv", "bad", "near"))
    for host, address in ((srv, "10.0.0.1"), (near, "10.0.1.6")):
        host.start([sys.executable, TALK, "answer", address, "80"])
    assert within(15, lambda: opens(bad, "10.0.0.1") and opens(near, "10.0.0.1"))
    before = rules(network)
    asked(running, "approve", "d1")
    assert within(5, lambda: not opens(bad, "10.0.0.1"))
    assert opens(near, "10.0.0.1")

    takes(bad, "02:00:00:00:00:77", "10.0.1.77")
    bad.start([sys.executable, TALK, "answer", "10.0.1.77", "80"])
    assert within(10, lambda: opens(bad, "10.0.0.1") or known(running, "10.0.1.77"))
    for _ in range(5):
        assert not opens(bad, "10.0.0.1"), "another identity, the same port"
        assert not opens(bad, "10.0.1.6"), "nor to its neighbour on the switch"
    assert not opens(srv, "10.0.1.77") and not opens(near, "10.0.1.77"), "nor from anywhere"
    assert opens(near, "10.0.0.1"), "a neighbour on another port is untouched"

    during = rules(network)
    asked(running, "release", "d1")
    assert within(5, lambda: opens(bad, "10.0.0.1")), "released whole, whoever it is now"
    assert rules(network) == [line for line in during if HELD not in line]
    takes(bad, "02:00:00:00:00:05", "10.0.1.5")
    assert within(10, lambda: opens(bad, "10.0.0.1"))
    assert set(before) <= set(rules(network)), "and what was there before is there"

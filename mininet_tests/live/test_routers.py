"""Routers on real switches: to the Internet and back, a second subnet, and nothing borrowed."""

from __future__ import annotations

import sys
import time

import pytest

from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.network_behind import Behind
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.lab import Lab, RunningHost
from topology.records import Link

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: routers}
hosts:
  gw:
    {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1,
     routes: [0.0.0.0/0, "2000::/3"]}
  web: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 1, port: 2, labels: {at: web}}
  db: {mac: "02:00:00:00:00:03", ip: [10.0.0.3, "fd00::3"], switch: 2, port: 1, labels: {at: db}}
segments:
  web: {members: [{labels: {at: web}}], mode: enforce}
  db: {members: [{labels: {at: db}}], mode: enforce}
  branch: {members: [{cidr: 10.9.0.0/24}], mode: enforce}
  internet:
    members: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}, {cidr: "2000::/3"}]
    mode: enforce
intents:
  - {name: web-browses, from: web, to: internet, services: [tcp/80]}
  - {name: world-reads, from: internet, to: web, services: [tcp/8080]}
  - {name: branch-queries, from: branch, to: db, services: [tcp/5432]}
defaults: {action: deny, mode: enforce}
"""
INTERNET, INTERNET6, BRANCH = "203.0.113.9", "2001:db8::9", "10.9.0.9"


def knocks(
    runner: Behind | RunningHost, address: str, port: int, source: str | None = None
) -> bool:
    words = [sys.executable, TALK, "knock", address, str(port), "0.05"]
    done = runner.run([*words, *([source] if source else [])], timeout=10)
    return '"opened": 1' in done.stdout


def serve(runner: Behind | RunningHost, address: str, port: int) -> None:
    runner.start([sys.executable, TALK, "answer", address, str(port)])


def routed(lab: Lab) -> Behind:
    """The world behind the gateway, and everybody's way there."""
    near = ("203.0.113.1/24", "2001:db8::1/64", "10.9.0.1/24")
    world = Behind(lab.host("gw"), near, (f"{INTERNET}/24", f"{INTERNET6}/64", f"{BRANCH}/24"))
    for name in ("web", "db"):
        for way in ("ip route add default via 10.0.0.1", "ip route add default via fd00::1"):
            assert lab.host(name).run(way.split()).ok
    return world


@pytest.mark.timeout(120)
def test_web_reaches_the_internet_through_the_gateway_and_a_branch_the_database() -> None:
    with controlled(POLICY, (Link(1, 9, 2, 9),), ("--analysis", "none")) as (lab, controller):
        world = routed(lab)
        web, db = lab.host("web"), lab.host("db")
        for address in (INTERNET, INTERNET6):
            serve(world, address, 80)
            serve(world, address, 81)
        for address, port in (("10.0.0.2", 8080), ("fd00::2", 8080), ("10.0.0.2", 8081)):
            serve(web, address, port)
        serve(db, "10.0.0.3", 5432)
        time.sleep(0.5)
        assert knocks(web, INTERNET, 80) and knocks(web, INTERNET6, 80)
        assert not knocks(web, INTERNET, 81) and not knocks(db, INTERNET, 80)
        assert knocks(world, "10.0.0.2", 8080, INTERNET) and knocks(world, "fd00::2", 8080)
        assert not knocks(world, "10.0.0.2", 8081, INTERNET)
        assert knocks(world, "10.0.0.3", 5432, BRANCH), "the second subnet, on the other switch"
        assert not knocks(world, "10.0.0.3", 5432, INTERNET), "judged by its own address"
        assert not knocks(world, "10.0.0.2", 8080, BRANCH)
        controller.kill()
        assert knocks(web, INTERNET, 80), "and without the controller"


@pytest.mark.timeout(120)
def test_a_router_lends_nobodys_address_and_a_host_is_no_router() -> None:
    with controlled(POLICY, (Link(1, 9, 2, 9),), ("--analysis", "none")) as (lab, _):
        world = routed(lab)
        serve(lab.host("db"), "10.0.0.3", 5432)
        serve(lab.host("web"), "10.0.0.2", 8080)
        time.sleep(0.5)
        # The database's own address behind the gateway: bound elsewhere.
        assert world.run(["ip", "addr", "add", "10.0.0.3/32", "dev", "eth0"]).ok
        assert lab.host("gw").run(["ip", "route", "add", "10.0.0.3/32", "dev", "behind"]).ok
        assert not knocks(world, "10.0.0.2", 8080, "10.0.0.3")
        assert knocks(world, "10.0.0.2", 8080, INTERNET)
        # A host that sends from the Internet's addresses.
        assert lab.host("db").run(["ip", "addr", "add", f"{INTERNET}/32", "dev", "eth0"]).ok
        assert not knocks(lab.host("db"), "10.0.0.2", 8080, INTERNET)

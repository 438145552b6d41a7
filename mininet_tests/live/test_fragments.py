"""Datagrams in fragments: they arrive where they are allowed, and count like others."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.network_behind import Behind
from mininet_tests.lab.lab import RunningHost
from mininet_tests.lab.waiting import within
from response.state.interfaces import FlowFilter
from response.state.store import Store
from tests.support.live.asking import COUNT, DATAGRAMS, LARGE, answered
from tests.support.live.frames import catch, caught
from topology.records import FlowRecord, Link

LINKS = (Link(1, 9, 2, 9),)
WORLD, WORLD6 = "203.0.113.9", "2001:db8::9"
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: fragments}
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 1, port: 2}
  c: {mac: "02:00:00:00:00:03", ip: [10.0.0.3, "fd00::3"], switch: 2, port: 1}
  x: {mac: "02:00:00:00:00:04", ip: [10.0.0.4, "fd00::4"], switch: 1, port: 3}
  y: {mac: "02:00:00:00:00:05", ip: [10.0.0.5, "fd00::5"], switch: 2, port: 2}
  gw:
    {mac: "02:00:00:00:00:06", ip: [10.0.0.6, "fd00::6"], switch: 2, port: 3,
     routes: [0.0.0.0/0, "2000::/3"]}
segments:
  asking: {members: [{host: a}], mode: enforce}
  asked:
    members: [{host: b}, {host: c}, {cidr: 203.0.113.0/24}, {cidr: "2001:db8::/64"}]
    mode: enforce
  watched: {members: [{host: x}, {host: y}], mode: audit}
intents:
  - {name: large, from: asking, to: asked, services: [udp/7000, icmp/echo-request]}
  - {name: large6, from: asking, to: asked, services: [icmpv6/echo-request]}
defaults: {action: deny, mode: audit}
"""
TARGETS = ("10.0.0.2", "fd00::2", "10.0.0.3", "fd00::3", WORLD, WORLD6)


def pings(host: RunningHost, address: str) -> bool:
    words = ["ping", "-c", "2", "-i", "0.2", "-W", "1", "-s", str(LARGE), address]
    return " 2 received" in host.run(words, timeout=10).stdout


def later_fragments(frames: list[str]) -> list[str]:
    """Of IPv4 and of IPv6."""
    return [
        each
        for each in frames
        if each[24:28] == "0800"
        and int(each[40:44], 16) & 0x1FFF
        or each[24:28] == "86dd"
        and each[40:42] == "2c"
    ]


@pytest.mark.timeout(180)
def test_datagrams_in_fragments_arrive_where_they_are_allowed_and_are_recorded() -> None:
    with controlled(POLICY, LINKS) as (lab, controller):
        near = ("203.0.113.1/24", "2001:db8::1/64")
        world = Behind(lab.host("gw"), near, (f"{WORLD}/24", f"{WORLD6}/64"))
        a, b, c, x, y = (lab.host(name) for name in "abcxy")
        for way in ("ip route add default via 10.0.0.6", "ip route add default via fd00::6"):
            assert a.run(way.split()).ok
        for runner, addresses in ((b, TARGETS[:2]), (c, TARGETS[2:4]), (world, TARGETS[4:])):
            for address in addresses:
                for port in ("7000", "7001"):
                    runner.start([sys.executable, DATAGRAMS, "echo", address, port])
        for address in ("10.0.0.5", "fd00::5"):
            y.start([sys.executable, DATAGRAMS, "echo", address, "7001"])
        time.sleep(0.5)
        for address in TARGETS:
            assert answered(a, address, 7000) == COUNT, address
            assert pings(a, address), address
        for address in ("10.0.0.5", "fd00::5"):
            assert answered(x, address, 7001) == COUNT, "audit only records"
            assert pings(x, address)
        seen = [catch(host, 9, "all") for host in (b, c)]
        for address in TARGETS:
            assert answered(a, address, 7001) == 0
        for host in (b, c):
            assert not pings(host, "10.0.0.1") and not pings(host, "fd00::1")
        for process in seen:
            assert not later_fragments(caught(process))
        state = controller.options.state
        assert within(45, lambda: len(flows(state, "allow", ended=True)) >= 12)
        ended = flows(state, "allow", ended=True)
        for address in TARGETS:
            (one,) = (e for e in ended if (e.dst_ip, e.dst_port) == (address, 7000))
            assert (one.intent, one.state) == ("large", "established")
            assert one.packets_out == one.packets_in == COUNT, "a datagram counts once"
        audited = flows(state, "would-deny", ended=True)
        assert {each.dst_ip for each in audited} == {"10.0.0.5", "fd00::5"}
        denied = flows(state, "deny")
        for address in TARGETS:
            tried = [each for each in denied if (each.dst_ip, each.proto) == (address, "udp")]
            assert [each.dst_port for each in tried] == [7001] * COUNT, "once a datagram"


def flows(state: Path, verdict: str, *, ended: bool = False) -> list[FlowRecord]:
    store = Store.open(state, time.time())
    try:
        found = [each.record for _, each in store.flows(FlowFilter(verdict=verdict))]
    finally:
        store.close()
    return [each for each in found if not ended or each.phase == "end"]

"""Several hosts on one port: untagged, and in VLANs; tags where none belong."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.network_behind import Behind, Tenant
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.lab import RunningHost
from tests.support.live.frames import arp, catch, caught, four, mac, send
from topology.records import Link

HYPERVISOR = str(Path(__file__).resolve().parents[1] / "lab" / "hypervisor.py")
LINKS = (Link(1, 9, 2, 9),)
ALONE = ("--analysis", "none")
PLUGGED = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: shared}
hosts:
  vm: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1, labels: {at: a}}
  web: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 2, port: 1, labels: {at: web}}
  pc: {mac: "02:00:00:00:00:05", ip: [10.0.0.5], switch: 1, port: 2}
"""
REST = """
segments:
  a: {members: [{labels: {at: a}}], mode: enforce}
  b: {members: [{labels: {at: b}}], mode: enforce}
  web: {members: [{labels: {at: web}}], mode: enforce}
intents:
  - {name: a-browses, from: a, to: web, services: [tcp/80]}
  - {name: web-calls, from: web, to: b, services: [tcp/81]}
defaults: {action: deny, mode: enforce}
"""
GUEST = """  vm%d: {mac: "02:00:00:00:00:%02x", ip: [10.0.0.%d, "fd00::%x"], switch: 1, port: 1,
    %slabels: {at: %s}}
"""


def guest(number: int, label: str, vlan: int | None = None) -> str:
    tag = "" if vlan is None else f"vlan: {vlan}, "
    return GUEST % (number, number, number, number, tag, label)


def opens(runner: RunningHost | Tenant | Behind, address: str, port: int) -> bool:
    words = [sys.executable, TALK, "knock", address, str(port), "0.05"]
    return '"opened": 1' in runner.run(words, timeout=10).stdout


def serve(runner: RunningHost | Tenant, address: str, port: int) -> None:
    runner.start([sys.executable, TALK, "answer", address, str(port)])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("vlans", [(None, None), (10, 20)])
def test_a_machine_with_three_hosts_on_one_port(vlans: tuple[int | None, int | None]) -> None:
    """Each is judged as itself; in VLANs their frames are tagged on that port and nowhere else."""
    known = PLUGGED + guest(3, "a", vlans[0]) + guest(4, "b", vlans[1]) + REST
    with controlled(PLUGGED + REST.replace("{at: b}", "{at: a}"), LINKS, ALONE, known) as (
        lab,
        controller,
    ):
        vm, web = lab.host("vm"), lab.host("web")
        three, four_ = (
            Tenant(vm, f"02:00:00:00:00:{n:02x}", (f"10.0.0.{n}/16", f"fd00::{n}/64"))
            for n in (3, 4)
        )
        guests = [f"{t.link}:{vlan or 0}" for t, vlan in zip((three, four_), vlans, strict=True)]
        vm.start([sys.executable, HYPERVISOR, "eth0", *guests])
        for address in ("10.0.0.2", "fd00::2"):
            serve(web, address, 80)
        for address in ("10.0.0.4", "fd00::4"):
            serve(four_, address, 81)
        serve(three, "10.0.0.3", 81)
        time.sleep(0.5)
        for address in ("10.0.0.2", "fd00::2"):
            assert opens(vm, address, 80) and opens(three, address, 80)
            assert not opens(four_, address, 80)
        assert opens(web, "10.0.0.4", 81) and opens(web, "fd00::4", 81)
        assert not opens(web, "10.0.0.3", 81)
        status = ask_controller(controller.options.state, {"do": "check"})
        assert all(not each.get("drift") for each in status["switches"]), status
        # A tag where none belongs, and another VLAN's tag where some do.
        seen = catch(web, 3, "arp")
        honest = arp(5, mac(5), four(5), four(2))
        wrong = honest[:24] + "8100" + "0010" + honest[24:]
        send(lab.host("pc"), honest, wrong)
        other = arp(1, mac(1), four(1), four(2))
        send(vm, other[:24] + "8100" + "0063" + other[24:])
        frames = caught(seen)
        (arrived,) = (f for f in frames if f[12:24] == mac(5) and f[40:44] == "0001")
        assert arrived.startswith(honest), "without a tag"
        asked = [f for f in frames if f[40:44] == "0001"]  # answers may come at any time
        assert not [f for f in asked if f[12:24] == mac(1)]

"""Rings, leaf and spine, cables cut under traffic, switches lost, forged link discovery."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.machine import vsctl
from ryu_apps.openflow.discovery_frames import DiscoveryFrame, lldp_frame
from topology.records import Link

RAW = str(Path(__file__).resolve().parents[1] / "traffic" / "raw.py")
ALONE = ("--analysis", "none")
# 1 and 2 are spines, 3 to 5 leaves; a ring is 3-1-4-2-3.
LEAF_SPINE = tuple(Link(s, 100 + leaf, leaf, 100 + s) for s in (1, 2) for leaf in (3, 4, 5))
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: fabric}
hosts:
  a: {mac: "02:00:00:00:00:0a", ip: [10.0.0.1, "fd00::1"], switch: 3, port: 1}
  b: {mac: "02:00:00:00:00:0b", ip: [10.0.0.2, "fd00::2"], switch: 4, port: 1}
  c: {mac: "02:00:00:00:00:0c", ip: [10.0.0.3, "fd00::3"], switch: 5, port: 1}
segments:
  all: {members: [{host: a}, {host: b}, {host: c}], mode: enforce}
  mdns: {members: [{cidr: 224.0.0.251/32}], mode: enforce}
intents:
  - {name: talk, from: all, to: all, services: [tcp/7000]}
  - {name: mdns, from: all, to: mdns, services: [udp/5353]}
defaults: {action: deny, mode: enforce}
"""


SAY = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("10.0.0.1", 5353))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.0.1"))
    s.sendto(b"who", ("224.0.0.251", 5353))
"""


def talking(lab: Lab, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, TALK, "talk", "10.0.0.2", "7000", str(seconds)]
    return lab.host("a").start(words, stdout=subprocess.PIPE)


def said(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate(timeout=40)
    return dict(json.loads(out))


def cut(lab: Lab, link: Link, up: bool = False) -> None:
    for switch, port in ((link.switch, link.port), (link.peer_switch, link.peer_port)):
        words = ["ip", "link", "set", lab.port(switch, port), "up" if up else "down"]
        subprocess.run(words, check=True, timeout=5)


def knows(check: Callable[[], bool], timeout: float) -> bool:
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if check():
            return True
        time.sleep(0.1)
    return check()


def spine_in_use(lab: Lab) -> int:
    """The spine that packets from a to b take: the one whose cable counts most."""
    counts = {}
    for spine in (1, 2):
        text = lab.ofctl(3, "dump-ports", str(100 + spine))
        counts[spine] = int(text.split("tx pkts=")[1].split(",")[0])
    return max(counts, key=lambda each: counts[each])


@pytest.mark.timeout(150)
def test_leaf_and_spine_go_on_when_a_cable_is_cut_and_when_a_spine_is_lost() -> None:
    """Four circles of cables: nothing storms, multicast comes once, cuts are walked around."""
    with controlled(POLICY, LEAF_SPINE, ALONE) as (lab, controller):
        state = controller.options.state
        lab.host("b").start([sys.executable, TALK, "answer", "10.0.0.2", "7000"])
        time.sleep(0.5)
        heard = lab.host("c").start(
            [sys.executable, RAW, "catch", "eth0", "2", "udp"], stdout=subprocess.PIPE
        )
        time.sleep(0.7)
        assert lab.host("a").run([sys.executable, "-c", SAY]).ok
        frames = said_lines(heard)
        assert len([each for each in frames if "77686f" in each]) == 1, "once, circles or not"
        talk = talking(lab, 6)
        time.sleep(1.5)
        spine = spine_in_use(lab)
        link = next(each for each in LEAF_SPINE if each.switch == spine and each.peer_switch == 3)
        before = flow_mods(state)
        cut(lab, link)
        done = said(talk)
        assert done["answered"] >= done["sent"] - 2 and done["longest"] < 1.0, done
        sent = [now - then for then, now in zip(before, flow_mods(state), strict=True)]
        assert max(sent) <= 12, f"only ways that changed are sent: {sent}"
        cut(lab, link, up=True)
        assert knows(lambda: len(trunks(state, 3)) == 2, 15)
        # A spine dies without a word: its switch is gone, its neighbours' cables stay up.
        talk = talking(lab, 8)
        time.sleep(1.5)
        lost = spine_in_use(lab)
        vsctl("del-br", lab.bridge(lost))
        done = said(talk)
        assert done["answered"] >= done["sent"] - 3 and done["longest"] < 2.0, done


def trunks(state: Path, switch: int) -> list[int]:
    found = ask_controller(state, {"do": "status"})["switches"]
    return next(list(each["trunks"]) for each in found if each["switch"] == switch)


def flow_mods(state: Path) -> list[int]:
    return [each["flow_mods"] for each in ask_controller(state, {"do": "status"})["switches"]]


def said_lines(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=20)
    return out.splitlines()


@pytest.mark.timeout(120)
def test_a_ring_carries_on_without_its_controller_and_a_host_forges_no_link() -> None:
    ring = tuple(each for each in LEAF_SPINE if 5 not in (each.switch, each.peer_switch))
    policy = POLICY.replace("switch: 5, port: 1", "switch: 1, port: 1")
    with controlled(policy, ring, ALONE) as (lab, controller):
        state = controller.options.state
        lab.host("b").start([sys.executable, TALK, "answer", "10.0.0.2", "7000"])
        time.sleep(0.5)
        assert len(trunks(state, 3)) == 2
        # No link discovery reaches a host; made up or repeated, it makes no trunk of its port.
        caught = lab.host("c").start(
            [sys.executable, RAW, "catch", "eth0", "4", "lldp"], stdout=subprocess.PIPE
        )
        made = DiscoveryFrame(4, 77, b"whatever", time.time())
        forged = lldp_frame(made, bytes(6), b"guessed")
        assert lab.host("a").run([sys.executable, RAW, "send", "eth0", forged.hex()]).ok
        repeated = lldp_frame(made, bytes(6), (state / "discovery.key").read_bytes())
        assert lab.host("a").run([sys.executable, RAW, "send", "eth0", repeated.hex()]).ok
        assert said_lines(caught) == []
        assert sorted(trunks(state, 3)) == [101, 102]
        lost = ask_controller(state, {"do": "status"})["lost"]
        assert (lost["forged_lldp"], lost["stale_lldp"]) == (1, 1)
        controller.kill()
        done = said(talking(lab, 1.0))
        assert done["answered"] == done["sent"] > 10

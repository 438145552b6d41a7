"""Link discovery under attack on real switches: frames caught on a trunk, sent again elsewhere."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.lab import Lab
from tests.support.live.asking import opens
from tests.support.live.frames import RAW, catch, caught, four, tcp
from topology.records import Link

ALONE = ("--analysis", "none")
LINKS = (Link(1, 9, 2, 9), Link(2, 8, 3, 8))
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: attacked}
hosts:
  pc: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 1, port: 1}
  web: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 2, port: 1}
  bad: {mac: "02:00:00:00:00:05", ip: [10.0.0.5], switch: 3, port: 1}
segments:
  all: {members: [{host: pc}, {host: web}], mode: enforce}
intents:
  - {name: browse, from: all, to: all, services: [tcp/80]}
defaults: {action: deny, mode: enforce}
"""
# The controller knows nothing of the host that attacks: its port is one that nobody declared.
KNOWN = "\n".join(line for line in POLICY.splitlines() if not line.startswith("  bad:"))
AGAIN = """
import socket, sys, time
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    until = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < until:
        for frame in sys.argv[2:]:
            wire.send(bytes.fromhex(frame))
        time.sleep(0.2)
"""


def on_the_trunk(lab: Lab) -> list[str]:
    """One discovery frame of each direction, as it passes."""
    words = [sys.executable, RAW, "catch"]
    listening = [
        subprocess.Popen(
            [*words, lab.port(switch, 9), "3.5", "lldp"], stdout=subprocess.PIPE, text=True
        )
        for switch in (1, 2)
    ]
    return [each.communicate(timeout=20)[0].split()[0] for each in listening]


@pytest.mark.threat("link-discovery")
@pytest.mark.timeout(120)
def test_frames_of_a_trunk_sent_again_from_a_port_nobody_declared_change_nothing() -> None:
    with controlled(POLICY, LINKS, ALONE, run_on=KNOWN) as (lab, controller):
        state = controller.options.state
        lab.host("web").start([sys.executable, TALK, "answer", "10.0.0.2", "80"])
        frames = on_the_trunk(lab)
        controller.stop()
        controller.start()
        controller.wait_ready()
        attack = lab.host("bad").start([sys.executable, "-c", AGAIN, "6", *frames])
        time.sleep(2.5)
        heard = catch(lab.host("web"), 2.5, "all")
        borrowed = tcp(3, four(3))
        assert lab.host("bad").run([sys.executable, RAW, "send", "eth0", *[borrowed] * 40]).ok
        told = ask_controller(state, {"do": "status"})
        assert {each["switch"]: each["trunks"] for each in told["switches"]} == {
            1: [9],
            2: [8, 9],
            3: [8],
        }
        assert opens(lab.host("pc")), "traffic between switches goes on"
        assert not [each for each in caught(heard) if each.startswith(borrowed)]
        attack.wait(timeout=10)
        assert told["lost"]["stale_lldp"] >= 10

"""Connections picked up in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.machine import said
from tests.support.live.frames import catch, caught, four, mac, send
from topology.records import Link

LINKS = (Link(1, 9, 2, 9),)
ALONE = ("--analysis", "none")
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: other}
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 2, port: 1}
segments:
  a: {members: [{host: a}], mode: enforce}
  b: {members: [{host: b}], mode: enforce}
intents:
  - {name: echo, from: a, to: b, services: [udp/7000, tcp/7000, icmp/echo-request]}
  - {name: echo6, from: a, to: b, services: [icmpv6/echo-request]}
defaults: {action: deny, mode: enforce}
"""


@pytest.mark.timeout(120)
def test_a_connection_that_nobody_knows_any_more_is_judged_as_a_new_one() -> None:
    """As after a restart of the switch: what is allowed goes on, what is not stays shut."""
    with controlled(POLICY, LINKS, ALONE) as (lab, _):
        a, b = lab.host("a"), lab.host("b")
        b.start([sys.executable, TALK, "answer", "10.0.0.2", "7000"])
        time.sleep(0.5)
        talk = a.start(
            [sys.executable, TALK, "talk", "10.0.0.2", "7000", "4"], stdout=subprocess.PIPE
        )
        time.sleep(1.5)
        said(["ovs-appctl", "dpctl/flush-conntrack"], timeout=5)
        out, _ = talk.communicate(timeout=20)
        done = json.loads(out)
        assert done["answered"] >= done["sent"] - 1 > 60, done
        # A segment that opens nothing, of a connection that was never allowed.
        seen = catch(b, 2, "all")
        head = f"45000028000000004006{'0' * 4}{four(1)}{four(2)}"
        send(
            a, mac(2) + mac(1) + "0800" + head + "c3501b59" + "00000001" * 2 + "50102000" + "0" * 8
        )
        assert not [f for f in caught(seen) if f[68:76] == "c3501b59"]

"""A switch whose connection table is full: new connections are denied, and that is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.machine import said
from mininet_tests.lab.waiting import within
from response.state.store import Store
from tests.support.live.asking import answered, opens
from tests.support.live.frames import catch, caught
from tests.support.live.operating import septum
from topology.records import Link

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: full}
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 2, port: 1}
segments:
  all: {members: [{host: a}, {host: b}], mode: enforce}
intents:
  - {name: everything, from: all, to: all, services: [any]}
defaults: {action: deny, mode: enforce}
"""


def tracked() -> str:
    return said(["ovs-appctl", "dpctl/ct-get-nconns"], timeout=5).strip()


@contextmanager
def at_most(connections: str) -> Iterator[None]:
    """The switches' own limit, which all bridges of this machine share."""
    usual = said(["ovs-appctl", "dpctl/ct-get-maxconns"], timeout=5).strip()
    said(["ovs-appctl", "dpctl/ct-set-maxconns", connections], timeout=5)
    try:
        yield
    finally:
        said(["ovs-appctl", "dpctl/ct-set-maxconns", usual], timeout=5)


@pytest.mark.timeout(150)
def test_a_full_connection_table_denies_new_connections_and_says_so() -> None:
    with controlled(POLICY, (Link(1, 9, 2, 9),)) as (lab, controller):
        a, b, state = lab.host("a"), lab.host("b"), controller.options.state
        b.start([sys.executable, TALK, "answer", "10.0.0.2", "80"])
        time.sleep(0.5)
        assert opens(a)
        words = [sys.executable, TALK, "talk", "10.0.0.2", "80", "8"]
        talker = a.start(words, stdout=subprocess.PIPE)
        time.sleep(1)
        with at_most(tracked()):
            seen = catch(b, 3, "udp")
            assert not opens(a), "its answers would be taken for a new connection"
            assert answered(a, "10.0.0.2", 7000) == 0
            assert not caught(seen), "nor does a packet pass that wants no answer"
            assert within(10, lambda: "connection table is full" in septum_says(state, "status"))
            assert "switch 1: its connection table is full" in septum_says(state, "switches")
            done = json.loads(talker.communicate(timeout=20)[0])
            assert done["answered"] >= done["sent"] - 1 > 100, "what is known goes on"
        assert opens(a)
        controller.stop()
        store = Store.open(state, time.time())
        told = [e.values() for e in store.audit_entries() if e.kind == "switch"]
        store.close()
        (full,) = (each for each in told if each["what"] == "full")
        assert full["switch"] == 1 and "10.0.0.1 (port 1) to 10.0.0.2" in full["detail"]


def septum_says(state: object, command: str) -> str:
    return septum(command, "--state", str(state)).stdout

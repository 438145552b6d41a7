"""A switch whose connection table is full: new connections are denied, and that is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.waiting import within
from response.state.store import Store
from tests.support.live.asking import answered, opens
from tests.support.live.connection_tables import POLICY, at_most, septum_says, tracked
from tests.support.live.frames import catch, caught
from topology.records import Link


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

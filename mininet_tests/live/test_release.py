"""A switch handed back while it forwards has nothing of ours left, until it is taken again."""

from __future__ import annotations

import sys
import time

import pytest

from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.waiting import within
from mininet_tests.live.conftest import MakeController, MakeLab
from response.state.store import Store
from tests.support.live.operating import rules, septum

DENIED = "7999"  # a port that no intent allows


def opens(lab: Lab) -> bool:
    words = [sys.executable, TALK, "knock", "10.0.0.3", DENIED, "0.05"]
    return '"opened": 1' in lab.host("a1").run(words, 10).stdout


@pytest.mark.timeout(120)
def test_a_released_switch_forwards_as_a_plain_one_until_it_is_taken(
    lab: MakeLab, controller: MakeController
) -> None:
    network = lab(POLICY.replace("switch: 2, port: 1", "switch: 1, port: 3"))
    running = controller(network, extra=("--analysis", "process"))
    state = ("--state", str(running.options.state))
    network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", DENIED])
    network.ofctl(1, "add-group", "group_id=9,type=all,bucket=drop")
    right = rules(network)
    assert not opens(network)

    done = septum("switches", "release", "1", "--normal", *state)
    assert done.returncode == 0 and "rules, meters and marks are removed" in done.stdout, done
    assert [line.split()[-1] for line in rules(network)] == ["actions=NORMAL"]
    assert "meter=" not in network.ofctl(1, "dump-meters")
    assert "group_id=9" in network.ofctl(1, "dump-groups")
    assert within(10, lambda: opens(network)), "no policy holds any more"
    check = septum("switches", "--check", *state)
    assert check.returncode == 0 and "not compared: released by" in check.stdout
    time.sleep(4.5)
    assert len(rules(network)) == 1, "no comparison puts anything back"

    assert septum("switches", "release", "1", *state).returncode != 0
    assert septum("switches", "take", "1", *state).returncode == 0
    assert within(10, lambda: rules(network) == right), running.log[-2000:]
    assert not opens(network)
    running.stop()
    store = Store.open(running.options.state, time.time())
    kinds = [e.values()["what"] for e in store.audit_entries() if e.kind == "switch"]
    store.close()
    assert kinds.index("released") < kinds.index("taken")

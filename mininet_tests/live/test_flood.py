"""A host that floods blinds nobody, and what could not be seen is counted."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.live.conftest import MakeController, MakeLab
from topology.records import Link

FLOOD = str(Path(__file__).resolve().parents[1] / "traffic" / "flood.py")


@pytest.mark.timeout(90)
def test_a_flooder_is_held_back_counted_and_harms_nobody(
    lab: MakeLab, controller: MakeController
) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    running = controller(network, adapt=False)
    network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", "7000"])
    time.sleep(0.5)
    attacker, victim = (network.host(name).plan for name in ("a1", "b1"))
    words = [attacker.mac, victim.mac, attacker.ips[0], victim.ips[0], "40000"]
    flooding = network.host("a1").start([sys.executable, FLOOD, *words])
    knocks = [sys.executable, TALK, "knock", "10.0.0.3", "7000", "3"]
    others = network.host("a2").run(knocks, timeout=30)
    flooding.wait(20)
    counts = json.loads(others.stdout)
    assert counts["tried"] == counts["opened"] > 5, "the other host works as before"
    deadline = time.monotonic() + 15
    lost = {"copies_held_back_by_meters": 0}
    while not lost["copies_held_back_by_meters"] and time.monotonic() < deadline:
        time.sleep(0.5)
        lost = ask_controller(running.options.state, {"do": "status"})["lost"]
    assert lost["copies_held_back_by_meters"] > 0
    assert running.running

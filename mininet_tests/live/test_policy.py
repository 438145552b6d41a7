"""Policies put in force on running switches: what changes, what must not, who may not pretend."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.waiting import within
from mininet_tests.live.conftest import MakeController, MakeLab
from response.state.store import Store
from tests.support.live.operating import apply, rules, septum
from topology.records import Link

LINKS = (Link(1, 9, 2, 9),)


def opens(lab: Lab, host: str, address: str, port: str) -> bool:
    done = lab.host(host).run([sys.executable, TALK, "knock", address, port, "0.05"], timeout=10)
    return '"opened": 1' in done.stdout


BAD = {
    "malformed": (POLICY.replace("segments:", "segments: ["), r":\d+:\d+: error"),
    "unknown segment": (POLICY.replace("to: b", "to: bb"), r":13:\d+: error: .*bb"),
    "duplicate MAC": (
        POLICY.replace("00:00:00:02", "00:00:00:01"),
        r":\d+:\d+: error: .*02:00:00:00:00:01",
    ),
}


def test_a_bad_policy_is_refused_with_its_lines_and_changes_nothing(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    network = lab(POLICY, links=LINKS)
    running = controller(network, extra=("--analysis", "none"))
    before = rules(network)
    path = tmp_path / "bad.yaml"
    for name, (text, wanted) in BAD.items():
        path.write_text(text)
        for words in (
            ("policy", "check", str(path)),
            ("policy", "apply", str(path), "--state", str(running.options.state)),
            ("run", "--policy", str(path), "--state", str(tmp_path / "other")),
        ):
            done = septum(*words)
            said = done.stdout + done.stderr
            assert done.returncode == 1, (name, words, said)
            assert re.search(re.escape(str(path)) + wanted, said), (name, said)
            assert "Traceback" not in said
    assert rules(network) == before
    assert running.running


def test_taking_an_intent_away_cuts_a_live_connection_both_ways(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    network = lab(POLICY, links=LINKS)
    running = controller(network, extra=("--analysis", "none"))
    network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", "7000"])
    time.sleep(0.5)
    assert opens(network, "a1", "10.0.0.3", "7000")
    talker = network.host("a1").start(
        [sys.executable, TALK, "talk", "10.0.0.3", "7000", "20"], stdout=subprocess.PIPE
    )
    time.sleep(1)
    before = rules(network)
    without = tmp_path / "without.yaml"
    without.write_text(POLICY.replace("tcp/7000", "tcp/7999"))
    cut = time.monotonic()
    assert apply(running, without).returncode == 0
    out, _ = talker.communicate(timeout=15)
    assert time.monotonic() - cut < 10, "the talker would have gone on for 20 s"
    assert '"sent"' in out
    assert not opens(network, "a1", "10.0.0.3", "7000")
    back = tmp_path / "back.yaml"
    back.write_text(POLICY)
    assert apply(running, back).returncode == 0
    assert opens(network, "a1", "10.0.0.3", "7000")
    assert rules(network) == before


def test_switches_tell_what_each_intent_has_carried(
    lab: MakeLab, controller: MakeController
) -> None:
    more = "  - {name: b-asks-a, from: b, to: a, services: [udp/53]}\n"
    network = lab(POLICY.replace("defaults:", f"{more}defaults:"), links=LINKS)
    running = controller(network, extra=("--analysis", "none"))
    network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", "7000"])
    time.sleep(0.5)
    assert opens(network, "a1", "10.0.0.3", "7000")
    assert not opens(network, "a1", "10.0.0.3", "7001")

    def carried() -> list[dict[str, Any]]:
        words = ("switches", "--traffic", "--json", "--state", str(running.options.state))
        found: list[dict[str, Any]] = json.loads(septum(*words).stdout)
        return found

    # At least the three segments that open a connection and the two that close it, on both sides.
    assert within(
        10, lambda: all(each["intents"]["a-talks-b"]["packets"] >= 5 for each in carried())
    )
    both = carried()
    assert [each["intents"]["b-asks-a"]["packets"] for each in both] == [0, 0]
    assert both[0]["default"]["packets"] > 0, "what was denied stopped at its own switch"
    said = septum("switches", "--traffic", "--state", str(running.options.state)).stdout
    assert "unused: b-asks-a" in said and "a-talks-b: " in said


@pytest.mark.timeout(90)
def test_strangers_are_found_and_pretenders_are_stopped(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    """The lab has a host that the policy does not declare; another takes a declared address."""
    network = lab(POLICY, links=LINKS)
    declared = POLICY.replace(
        '  a2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 1, port: 2, '
        "labels: {side: a}}\n",
        "",
    ).replace("from: a", "from: any")
    assert declared.count("a2") == 0
    (tmp_path / "policy.yaml").write_text(declared)
    running = controller(network)
    network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", "7000"])
    time.sleep(0.5)
    assert opens(network, "a2", "10.0.0.3", "7000"), "an undeclared host is found by its first ARP"
    hosts = ask_controller(running.options.state, {"do": "status"})["hosts"]
    (found,) = (each for each in hosts if each["ip"] == "10.0.0.2")
    assert (found["mac"], found["switch"], found["port"]) == ("02:00:00:00:00:02", 1, 2)
    network.host("a2").run(["ip", "addr", "add", "10.0.0.1/16", "dev", "eth0"])
    network.host("a2").run(
        ["ip", "route", "change", "10.0.0.0/16", "dev", "eth0", "src", "10.0.0.1"]
    )
    assert not opens(network, "a2", "10.0.0.3", "7000"), "a declared address works on its port only"
    assert opens(network, "a1", "10.0.0.3", "7000")
    running.stop()  # what was counted so far is written at the end
    store = Store.open(running.options.state, time.time())
    spoofs = [entry for entry in store.audit_entries() if entry.kind == "spoof"]
    store.close()
    assert spoofs and "10.0.0.1 belongs to a1" in str(spoofs[0].data)

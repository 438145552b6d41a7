"""``septum why``, ``status`` and ``flows`` on a network where several things are wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from mininet_tests.live.conftest import MakeController, MakeLab
from tests.support.live.asking import opens
from tests.support.live.frames import arp, four, mac, send, tcp
from tests.support.live.operating import PROPOSAL, asked, propose, septum
from topology.records import Link

THERE = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: office}
hosts:
  c1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {role: pc}}
  web: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {role: web}}
  c3: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 1, port: 3, labels: {role: pc}}
  c4: {mac: "02:00:00:00:00:04", ip: [10.0.0.4], switch: 2, port: 4, labels: {role: pc}}
  c5: {mac: "02:00:00:00:00:05", ip: [10.0.0.5], switch: 2, port: 5, labels: {role: pc}}
  c6: {mac: "02:00:00:00:00:06", ip: [10.0.0.6], switch: 2, port: 6, labels: {role: pc}}
segments:
  pcs: {members: [{labels: {role: pc}}], mode: enforce, adapt: auto}
  web: {members: [{labels: {role: web}}], mode: enforce}
intents:
  - {name: browse, from: pcs, to: web, services: [tcp/80]}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [quarantine], max_hosts: 3}
"""
# What the policy says instead: another port, one that does not exist, another MAC, a switch that
# is not there.
BELIEVED = (
    THERE.replace("switch: 1, port: 3", "switch: 2, port: 3")
    .replace("switch: 2, port: 4", "switch: 2, port: 12")
    .replace("00:00:05", "00:00:55")
    .replace("segments:", "  c7: {switch: 3, port: 1, labels: {role: pc}}\nsegments:")
)


@pytest.mark.timeout(90)
def test_each_cause_is_named_with_what_to_do(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    propose(
        tmp_path / "state",
        structs.replace(PROPOSAL, action="quarantine", target="c1", addresses=("10.0.0.1",)),
    )
    network = lab(THERE, links=[Link(1, 9, 2, 9)])
    (tmp_path / "policy.yaml").write_text(BELIEVED)
    running = controller(network)
    state = str(running.options.state)

    def why(*words: str) -> Any:
        done = septum("why", *words, "--state", state, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    for name in ("c3", "c4", "c5"):
        assert not opens(network.host(name))
    send(network.host("c6"), tcp(6, four(77)), arp(6, mac(6), four(77), four(2)))
    found = {name: why(name)["cause"] for name in ("c3", "c4", "c5", "c6", "c7")}
    assert {name: cause["about"] for name, cause in found.items()} == {
        "c3": "port", "c4": "port", "c5": "MAC", "c6": "source", "c7": "switch",
    }  # fmt: skip
    said = {name: cause["text"] for name, cause in found.items()}
    assert said["c3"].startswith("c3 is seen on switch 1 port 3, the policy has it on switch 2")
    assert said["c5"].startswith(
        "c5's declared MAC is 02:00:00:00:00:55, seen 02:00:00:00:00:05 on switch 2 port 5"
    )
    assert "c6 is declared with 10.0.0.6, seen 10.0.0.77" in said["c6"]
    assert said["c7"] == "switch 3 is not connected"
    seen = [each["text"] for each in why("c3")["findings"] if each["level"] == "wrong"]
    assert any("switch 2 has no port 3, where the policy has c3" in text for text in seen)

    asked(running, "approve", "d1")
    assert not opens(network.host("c1"))
    blocked = why("c1", "--to", "web", "--service", "tcp/80")
    assert "denied by decision d1" in blocked["cause"]["text"]
    assert not opens(network.host("c6"), port=22)
    denied = why("c6", "--to", "web", "--service", "tcp/22")
    *_, last = [each["text"] for each in denied["findings"] if each["level"] == "wrong"]
    assert "tcp/22 is denied by the default of policy office version" in last
    shown = septum("why", "c5", "--to", "web", "--service", "tcp/80", "--state", state).stdout
    assert "What to do" in shown and "correct `mac:` of c5" in shown

    status = septum("status", "--state", state).stdout
    done = septum("policy", "apply", str(tmp_path / "policy.yaml"), "--state", state)
    assert done.returncode == 0, done.stderr
    applied = done.stdout
    for text in (
        "switch 3 is not connected; the policy has c7 there",
        "switch 2 has no port 12, where the policy has c4",
        "c3 is seen on switch 1 port 3, the policy has it on switch 2 port 3",
        "c5's declared MAC is 02:00:00:00:00:55, seen 02:00:00:00:00:05",
    ):
        assert text in status and text in applied, text

    until = time.monotonic() + 15
    while time.monotonic() < until:
        rows = json.loads(septum("flows", "--verdict", "deny", "--state", state, "--json").stdout)
        causes = {(row["decided_by"], row.get("decision"), row.get("dst_port")) for row in rows}
        if {kind for kind, _, _ in causes} == {"default", "decision", "spoof"}:
            break
        time.sleep(0.5)
    assert {("default", None, 22), ("decision", "d1", 80), ("spoof", None, None)} <= causes
    counts = septum("flows", "--count", "--state", state).stdout
    assert "decision d1" in counts and "spoof: c6 is declared with 10.0.0.6" in counts

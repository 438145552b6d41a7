"""Policies exchanged under traffic: what is allowed by all of them loses no packet, and what is
denied by all of them passes none."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.clients.controller import ask_controller
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.lab import Lab, RunningHost
from response.state.policy_versions import Versions

STREAM = str(Path(__file__).resolve().parents[1] / "traffic" / "stream.py")
ALLOWED, DENIED = 9000, 9001
HOSTS = """
hosts:
  a1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {side: a, kind: old}}
  a2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {side: a, kind: new}}
  b1: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 2, port: 1, labels: {side: b, kind: old}}
"""
STREAMS = (("a1", ALLOWED), ("a2", DENIED))


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Counts of datagrams over all changes; ``changes`` that the controller took."""

    changes: int
    flow_mods: int
    allowed_sent: int
    allowed_came: int
    denied_sent: int
    denied_came: int


def policy(seed: int) -> str:
    """One of many policies that agree on two things and on little else.

    Datagrams to `ALLOWED` pass: by one intent or another, with the segments around
    them coming, going and overlapping. Those to `DENIED` do not: sometimes by
    the default, sometimes by a deny that an allow stands beside.
    """
    chance = random.Random(seed)
    segments = ["a: {members: [{labels: {side: a}}], mode: enforce}"]
    segments.append("b: {members: [{labels: {side: b}}], mode: enforce}")
    names = ["a", "b"]
    for number in range(chance.randrange(4)):
        member = chance.choice(("labels: {kind: old}", "labels: {kind: new}", "cidr: 10.0.0.0/29"))
        segments.append(f"s{number}: {{members: [{{{member}}}], mode: enforce}}")
        names.append(f"s{number}")
    allow = f"udp/{chance.choice((ALLOWED, f'{ALLOWED - 100}-{ALLOWED}', f'{ALLOWED}-{ALLOWED}'))}"
    source = chance.choice(("a", "any", "[a, b]"))
    tier = chance.choice(("security", "application", "baseline"))
    intents = [
        f"{{name: let-{seed % 3}, from: {source}, to: b, services: [{allow}], tier: {tier}}}"
    ]
    if chance.random() < 0.5:
        wide = f"udp/{DENIED}-{DENIED + 50}"
        intents.append(f"{{name: wide, from: a, to: b, services: [{wide}], tier: baseline}}")
        shut = f"udp/{DENIED}"
        intents.append(
            f"{{name: shut, from: any, to: any, services: [{shut}], action: deny, tier: security}}"
        )
    for number in range(chance.randrange(12)):
        ends = f"from: {chance.choice(names)}, to: {chance.choice(names)}"
        service = f"tcp/{chance.randrange(1, 60_000)}"
        intents.append(f"{{name: other-{seed % 5}-{number}, {ends}, services: [{service}]}}")
    return "\n".join(
        (
            "apiVersion: septum/v1",
            "kind: SegmentPolicy",
            f"metadata: {{name: updates-{seed}}}",
            HOSTS,
            "segments:",
            *(f"  {each}" for each in segments),
            "intents:",
            *(f"  - {each}" for each in intents),
            "defaults: {action: deny, mode: enforce}",
        )
    )


def exchange(
    lab: Lab, controller: Controller, changes: int, rate: float, every: float
) -> Exchanged:
    """Apply ``changes`` policies, one each ``every`` seconds, under ``rate`` datagrams a second
    each of the allowed and of the denied kind."""
    seconds = changes * every + 1.0
    target = lab.host("b1")
    heard = start_stream(
        target, "receive", "10.0.0.3", f"{ALLOWED},{DENIED}", str(seconds + 3.0), ready=True
    )
    warm = [
        start_stream(lab.host(name), "send", "10.0.0.3", "9", "10", "0.3") for name, _ in STREAMS
    ]
    for each in warm:  # so that everybody's addresses are known
        each.communicate(timeout=20)
    senders = [
        start_stream(lab.host(name), "send", "10.0.0.3", str(port), str(rate), str(seconds))
        for name, port in STREAMS
    ]
    time.sleep(0.3)
    before = _flow_mods(controller)
    taken = 0
    started = time.monotonic()
    for number in range(changes):
        taken += put_in_force(controller, policy(number))
        time.sleep(max(0.0, started + (number + 1) * every - time.monotonic()))
    allowed, denied = (json.loads(each.communicate(timeout=60)[0]) for each in senders)
    came: dict[str, int] = json.loads(heard.communicate(timeout=60)[0])
    return Exchanged(
        taken,
        _flow_mods(controller) - before,
        allowed,
        came[str(ALLOWED)],
        denied,
        came[str(DENIED)],
    )


def put_in_force(controller: Controller, text: str) -> bool:
    """Hand a policy to the controller as ``septum policy apply --unproven`` does, without its
    start-up: what is measured is the change, not the proof before it."""
    state = controller.options.state
    path = state.parent / "next.yaml"
    path.write_text(text)
    kept = Versions(state).keep([str(path)], {str(path): text}, "test", time.time())
    asked = {"do": "apply", "version": kept.number, "by": "test", "unproven": "measured"}
    return bool(ask_controller(state, asked)["ok"])


def _flow_mods(controller: Controller) -> int:
    status: dict[str, Any] = ask_controller(controller.options.state, {"do": "status"})
    return sum(each["flow_mods"] for each in status["switches"])


def start_stream(host: RunningHost, *words: str, ready: bool = False) -> subprocess.Popen[str]:
    process = host.start([sys.executable, STREAM, *words], stdout=subprocess.PIPE)
    if ready and process.stdout is not None:
        process.stdout.readline()
    return process

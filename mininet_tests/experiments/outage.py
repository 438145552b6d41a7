"""Measurement of traffic while the controller is dead, and after its restart.

The controller is killed with SIGKILL under traffic. Allowed connections, old
and new, must go on; denied ones must stay denied; after the restart nothing
may be sent that the switch has already.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from console.clients.controller import ask_controller
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.lab import Lab
from policies.rules.layout import RuleTable

TALK = str(Path(__file__).resolve().parents[1] / "traffic" / "talk.py")
OPEN_PORT, CLOSED_PORT = "7000", "7001"
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: outage}
hosts:
  a1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1, labels: {side: a}}
  a2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 1, port: 2, labels: {side: a}}
  b1: {mac: "02:00:00:00:00:03", ip: [10.0.0.3, "fd00::3"], switch: 2, port: 1, labels: {side: b}}
segments:
  a: {members: [{labels: {side: a}}], mode: enforce}
  b: {members: [{labels: {side: b}}], mode: enforce}
intents:
  - {name: a-talks-b, from: a, to: b, services: [tcp/7000]}
defaults: {action: deny, mode: enforce}
"""


@dataclass(frozen=True, slots=True)
class Outage:
    """Counts over the whole time; ``resent`` are flow-mods after the restart."""

    lines_sent: int
    lines_answered: int
    longest_wait: float
    opened_before: int
    opened_while_dead: int
    tried_while_dead: int
    denied_tried: int
    denied_opened: int
    resent: int
    youngest_rule: float
    restarted_for: float


def measure(lab: Lab, controller: Controller, dead_for: float = 3.0) -> Outage:
    """Kill the controller under traffic, wait, start it again, and count."""
    target = lab.host("b1")
    for port in (OPEN_PORT, CLOSED_PORT):
        for address in ("10.0.0.3", "fd00::3"):
            target.start([sys.executable, TALK, "answer", address, port])
    time.sleep(0.5)
    whole = dead_for + 9.0
    talker = _start(lab, "a1", "talk", "10.0.0.3", OPEN_PORT, whole)
    talker6 = _start(lab, "a2", "talk", "fd00::3", OPEN_PORT, whole)
    denied = _start(lab, "a1", "knock", "10.0.0.3", CLOSED_PORT, whole)
    before = _result(_start(lab, "a2", "knock", "10.0.0.3", OPEN_PORT, 1.0))
    controller.kill()
    dead = _result(_start(lab, "a2", "knock", "10.0.0.3", OPEN_PORT, dead_for))
    dead6 = _result(_start(lab, "a1", "knock", "fd00::3", OPEN_PORT, 0.5))
    restarted = time.monotonic()
    controller.start()
    controller.wait_ready()
    status = ask_controller(controller.options.state, {"do": "status"})
    lines, lines6, closed = _result(talker), _result(talker6), _result(denied)
    return Outage(
        lines_sent=lines["sent"] + lines6["sent"],
        lines_answered=lines["answered"] + lines6["answered"],
        longest_wait=max(lines["longest"], lines6["longest"]),
        opened_before=before["opened"],
        opened_while_dead=dead["opened"] + dead6["opened"],
        tried_while_dead=dead["tried"] + dead6["tried"],
        denied_tried=closed["tried"],
        denied_opened=closed["opened"],
        resent=sum(each["flow_mods"] for each in status["switches"]),
        youngest_rule=_youngest_rule(lab),
        restarted_for=time.monotonic() - restarted,
    )


def _start(
    lab: Lab, host: str, what: str, address: str, port: str, seconds: float
) -> subprocess.Popen[str]:
    words = [sys.executable, TALK, what, address, port, str(seconds)]
    return lab.host(host).start(words, stdout=subprocess.PIPE)


def _result(process: subprocess.Popen[str]) -> dict[str, int]:
    out, _ = process.communicate(timeout=60)
    counts: dict[str, int] = json.loads(out)
    return counts


def _youngest_rule(lab: Lab) -> float:
    """Seconds that the youngest of the policy's rules has been on any switch.

    The switch's own account of what was written again: adding a rule that is
    there already would restart its clock. Rules it learned itself do not count.
    """
    ages = []
    for dpid in lab.plan.switches:
        for line in lab.ofctl(dpid, "dump-flows").splitlines():
            if "duration=" in line and f"table={int(RuleTable.COUNT)}," not in line:
                ages.append(float(line.partition("duration=")[2].partition("s")[0]))
    return min(ages)

"""A million SYNs from one host: what the switch and the controller keep within their limits, and
whether they still see the others."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.runner import Benchmark, Figure, Target
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.faults import status
from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.machine import said
from mininet_tests.traffic import flood
from policies.rules.layout import COUNT_LIMIT, RuleTable
from topology.records import Link

SYNS = 1_000_000
LONGEST = 100.0  # seconds for all of them
OPEN = POLICY.replace("tcp/7000", "tcp")  # the scan is allowed: every SYN is a connection


@dataclass(frozen=True, slots=True)
class Scan:
    """Highest values seen during the scan, and what was told of it."""

    sent: int
    counted: int
    tracked: int
    memory_mb: float
    held_back: int
    tried: int  # another host's new connections meanwhile,
    opened: int  # those of them that came about,
    recorded: int  # and those that were recorded


@cache
def scanned() -> Scan:
    with controlled(OPEN, [Link(1, 9, 2, 9)], ("--no-adapt",)) as (lab, controller):
        target, attacker = lab.host("b1"), lab.host("a1")
        target.start([sys.executable, TALK, "answer", "10.0.0.3", "7000"])
        time.sleep(0.5)
        words = [attacker.plan.mac, target.plan.mac, "10.0.0.1", "10.0.0.3", str(SYNS)]
        program = str(Path(flood.__file__))
        flooding = attacker.start([sys.executable, program, *words, str(LONGEST)], stdout=-1)
        counted = tracked = opened = tried = 0
        memory = 0.0
        started = time.monotonic()
        while flooding.poll() is None and time.monotonic() - started < LONGEST + 20:
            knocks = [sys.executable, TALK, "knock", "10.0.0.3", "7000", "2"]
            told = json.loads(lab.host("a2").run(knocks, timeout=60).stdout)
            opened, tried = opened + int(told["opened"]), tried + int(told["tried"])
            table = lab.ofctl(1, "dump-aggregate", f"table={int(RuleTable.COUNT)}")
            counted = max(counted, int(table.rpartition("flow_count=")[2].split()[0]))
            tracked = max(tracked, int(said(["ovs-appctl", "dpctl/ct-get-nconns"], timeout=20)))
            memory = max(memory, _resident(controller.pid), _resident(_analysis(controller)))
        sent = int(flooding.communicate(timeout=30)[0])
        time.sleep(4.0)
        lost = status(controller)["lost"]
        held_back = lost["copies_held_back_by_meters"]
        recorded = _recorded(controller, "a2")
        return Scan(sent, counted, tracked, memory, held_back, tried, opened, recorded)


def _recorded(controller: Controller, host: str) -> int:
    """Connections of a host that the controller has seen."""
    words = ["-m", "console", "flows", "--from", host, "--last", "10000", "--json"]
    said_of = [sys.executable, *words, "--state", str(controller.options.state)]
    return sum(row["dst_port"] == 7000 for row in json.loads(said(said_of, timeout=60)))


def _analysis(controller: Controller) -> int:
    return int(status(controller)["analysis"]["pid"])


def _resident(pid: int) -> float:
    """Megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def counted() -> Figure:
    note = f"counting rules at most, of {scanned().sent:,} SYNs each from and to other ports"
    return Figure(scanned().counted, note)


def memory() -> Figure:
    return Figure(scanned().memory_mb, f"the larger process; {scanned().tracked:,} tracked")


def told() -> Figure:
    return Figure(scanned().held_back, "copies that meters held back, counted")


def others() -> Figure:
    note = f"of another host's {scanned().tried} new connections meanwhile were recorded"
    return Figure(scanned().recorded / scanned().tried, note)


def others_opened() -> Figure:
    """A switch flooded beyond what it can forward loses packets of anybody."""
    share = scanned().opened / scanned().tried
    return Figure(share, "of another host's connections came about meanwhile")


BENCHMARKS = (
    Benchmark("dataplane.scan_counting_rules", Target("<=", float(COUNT_LIMIT)), counted),
    Benchmark("dataplane.scan_memory_mb", Target("<=", 500.0, "MB"), memory),
    Benchmark("dataplane.scan_held_back", Target(">=", 1.0), told),
    Benchmark("dataplane.scan_others", Target(">=", 1.0), others),
    Benchmark("dataplane.scan_others_opened", Target(">=", 1.0), others_opened),
)

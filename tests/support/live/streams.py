"""Datagrams both ways on open connections, and when each way stopped and went on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mininet_tests.lab.lab import Lab

TALK = str(Path(__file__).parents[3] / "mininet_tests" / "traffic" / "talk.py")
AT_ONCE = 0.1  # seconds that a revoked connection may go on


@dataclass(slots=True)
class Stream:
    """One UDP connection between two hosts, on which both send all the time."""

    starter: subprocess.Popen[str]
    answerer: subprocess.Popen[str]
    arrived: dict[str, list[float]] = field(default_factory=dict)

    def finish(self) -> None:
        """Wait for the end and take what arrived: ``out`` at the responder, ``back`` at the
        initiator."""
        for way, process in (("out", self.answerer), ("back", self.starter)):
            text, _ = process.communicate(timeout=60)
            self.arrived[way] = json.loads(text)["arrived"]

    def count(self, way: str, since: float, until: float) -> int:
        """How many datagrams arrived between two moments."""
        times = self.arrived[way]
        return bisect_left(times, until) - bisect_left(times, since)

    def open_between(self, since: float, until: float) -> bool:
        """Both ways carried datagrams all along."""
        wanted = (until - since) * 50  # a quarter of what is sent: the machine may be busy
        return all(self.count(way, since, until) >= wanted for way in ("out", "back"))

    def shut_between(self, since: float, until: float) -> bool:
        """Neither way carried anything from a moment after ``since`` on."""
        return not any(self.count(way, since + AT_ONCE, until) for way in ("out", "back"))

    def stopped_after(self, moment: float, until: float) -> float:
        """Seconds from a moment to the last datagram of either way before ``until``."""
        last = moment
        for times in self.arrived.values():
            at = bisect_left(times, until)
            if at and times[at - 1] > last:
                last = times[at - 1]
        return last - moment


def start(
    lab: Lab, wanted: Mapping[str, tuple[str, str, int]], seconds: float
) -> dict[str, Stream]:
    """Begin streams from source to target on a port; ``seconds`` after that all their ends stop."""

    def run(what: str, host: str, target: str, port: int) -> subprocess.Popen[str]:
        address = next(ip for ip in lab.host(target).plan.ips if ":" not in ip)
        argv = [sys.executable, TALK, what, address, str(port), str(seconds)]
        return lab.host(host).start(argv, stdout=subprocess.PIPE)

    answerers = {
        name: run("hear", target, target, port) for name, (_, target, port) in wanted.items()
    }
    time.sleep(0.3 + 0.1 * len(wanted))  # until they listen
    return {
        name: Stream(run("stream", source, target, port), answerers[name])
        for name, (source, target, port) in wanted.items()
    }

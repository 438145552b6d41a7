"""Hosts of the lab that ask one another."""

from __future__ import annotations

import sys
from pathlib import Path

from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.lab import RunningHost

DATAGRAMS = str(Path(__file__).parents[3] / "mininet_tests" / "traffic" / "datagrams.py")
LARGE, COUNT = 4_000, 5  # bytes of a datagram, and how many


def opens(host: RunningHost, address: str = "10.0.0.2", port: int = 80) -> bool:
    words = [sys.executable, TALK, "knock", address, str(port), "0.05"]
    return '"opened": 1' in host.run(words, timeout=10).stdout


def answered(host: RunningHost, address: str, port: int) -> int:
    words = [sys.executable, DATAGRAMS, "ask", address, str(port), str(LARGE), str(COUNT)]
    return int(host.run(words, timeout=20).stdout)

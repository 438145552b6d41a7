"""The ports that a switch reports, checked before anything follows from them.

Rules of every switch name a host's port in 16 bits, and OpenFlow reserves numbers: a port that
cannot be named is left out here, so that no host is found on it. Ports' names are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from topology.ports import LAST_PORT, is_port

MAX_PORTS = 4_096  # of one switch: each has rules and a meter
LOCAL_PORT = 0xFFFF_FFFE  # the switch's own, which every bridge of Open vSwitch has
NOTHING, GROUP_BIT = bytes(6), 1
PORT_DOWN, LINK_DOWN = 1, 1  # bits of a port's configuration and state
OWN_PREFIX = bytes.fromhex("02535100")  # locally administered
_HEAD, _PORT = 16, struct.Struct("!I4x6s2x16sIIIIIIII")


class PortProblem(StrEnum):
    NUMBER = f"a number outside 1 to {LAST_PORT:,}: left out"
    TWICE = "the number of another port: only the first counts"
    MANY = f"beyond the {MAX_PORTS:,} ports of a switch: left out"
    ADDRESS = "a zero or multicast address: link discovery uses one of ours"


@dataclass(slots=True)
class ReportedPorts:
    """Usable ports of one connection, with their MACs by number; ``down`` are those that had no
    link when it began. ``problems`` counts the reports that were not taken as they came, and keeps
    the first port of each kind."""

    macs: dict[int, bytes] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    problems: dict[PortProblem, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, ports: Mapping[int, bytes]) -> ReportedPorts:
        reported = cls()
        for number, mac in ports.items():
            reported.add(number, mac)
        return reported

    def describe(self, buf: bytes) -> None:
        """Take one part of a port description."""
        for number, mac, linked in port_descriptions(buf):
            self.add(number, mac)
            if not linked and number in self.macs:
                self.down.add(number)

    def add(self, number: int, mac: bytes) -> PortProblem | None:
        """Take one port of the list that a switch sends when it connects."""
        if number in self.macs:
            return self._problem(PortProblem.TWICE, number)
        return self.change(number, mac)

    def change(self, number: int, mac: bytes) -> PortProblem | None:
        """Take a port that is new, or that changed; what is wrong with it."""
        if number == LOCAL_PORT:
            return None
        if not is_port(number):
            return self._problem(PortProblem.NUMBER, number)
        if number not in self.macs and len(self.macs) >= MAX_PORTS:
            return self._problem(PortProblem.MANY, number)
        if mac == NOTHING or mac[0] & GROUP_BIT:
            self.macs[number] = OWN_PREFIX + number.to_bytes(2, "big")
            return self._problem(PortProblem.ADDRESS, number)
        self.macs[number] = mac
        return None

    def remove(self, number: int) -> None:
        self.macs.pop(number, None)

    def texts(self) -> tuple[str, ...]:
        """What was not taken as reported, in words."""
        return tuple(
            f"reported {count} port{'s' if count > 1 else ''} (such as {number}) with {problem}"
            for problem, (count, number) in self.problems.items()
        )

    def _problem(self, problem: PortProblem, number: int) -> PortProblem | None:
        """Count it; the problem itself the first time, None when it is known already."""
        count, first = self.problems.get(problem, (0, number))
        self.problems[problem] = (count + 1, first)
        return None if count else problem


def port_descriptions(buf: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Number and MAC of each port in one part of a port description, and whether it has a link."""
    for at in range(_HEAD, len(buf) - _PORT.size + 1, _PORT.size):
        number, mac, _, config, state, *_ = _PORT.unpack_from(buf, at)
        yield number, mac, not (config & PORT_DOWN or state & LINK_DOWN)

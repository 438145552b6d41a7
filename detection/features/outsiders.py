"""Hosts outside our networks, and what they try on ours: knocking, guessing passwords, getting in.

The Internet scans everybody all day. Who only knocks is counted for the day and no more. What is
kept of an outside host is how often it exchanged something with each of ours on services that
people log in to, and how much: guesses are many and alike, a session is more than a guess.
"""

from __future__ import annotations

from collections import Counter
from math import exp
from typing import Annotated

from msgspec import Meta, Struct

from detection.state.stored_values import MOST_BYTES, Amount, Events, Moment, Text
from topology.graph import total_bytes
from topology.records import FlowRecord
from topology.services import FOOTHOLDS

LOGIN_PORTS = FOOTHOLDS | {21, 25, 110, 143, 389, 993, 995, 1433, 1521, 3306, 5432, 6379, 27017}
"""TCP ports of services that people or programs log in to."""

MOST_PAIRS = 4096  # of an outside host, one of ours and a service; those idle longest go first
MOST_DAYS = 31  # of which the knocking is kept
MOST_NAMES = 100_000  # outside hosts of a day, and hosts of ours, that are told apart
MOST_SERVICES = 4096
FADES = 3600.0  # seconds
HEADERS = 66  # bytes of a packet without contents
GREETING = 100  # bytes that are no exchange yet: a banner
FEWEST_PACKETS = 5

Pair = tuple[str, str, str]
"""An outside host, one of ours, a service of it."""


class Logins(Struct, array_like=True):
    """Exchanges of an outside host with one of ours on one service: how many, fading within about
    an hour, when the latest was, and what they carried on average (bytes)."""

    count: Amount = 0.0
    ts: Moment = 0.0
    mean: Annotated[float, Meta(ge=0.0, le=MOST_BYTES)] = 0.0

    def add(self, now: float, size: float) -> None:
        self.count = self.at(now) + 1.0
        self.ts = max(self.ts, now)
        self.mean += (size - self.mean) / min(self.count, 16.0)

    def at(self, now: float) -> float:
        return self.count * exp(-max(0.0, now - self.ts) / FADES)


class KnockingDay(Struct, frozen=True, array_like=True):
    """What came to nothing in a day: outside ``hosts`` that tried ``services`` (a peer and a
    service count once an hour) at ``targets`` of ours; ``guessers`` tried passwords as well.
    ``day`` counts from the epoch."""

    day: Events
    hosts: Events
    tries: Events
    targets: Events
    services: list[tuple[Text, Events]]
    guessers: Events


class KnockingState(Struct, frozen=True, array_like=True):
    days: Annotated[list[KnockingDay], Meta(max_length=MOST_DAYS)]
    day: Events
    hosts: Annotated[list[Text], Meta(max_length=MOST_NAMES)]
    targets: Annotated[list[Text], Meta(max_length=MOST_NAMES)]
    guessers: Annotated[list[Text], Meta(max_length=MOST_NAMES)]
    services: Annotated[dict[Text, Events], Meta(max_length=MOST_SERVICES)]


class Knocking:
    """The daily summary of outside hosts that only knock."""

    def __init__(self) -> None:
        self._days: list[KnockingDay] = []
        self._day = 0
        self._hosts: dict[str, None] = {}
        self._targets: dict[str, None] = {}
        self._guessers: dict[str, None] = {}
        self._services: Counter[str] = Counter()

    def count(self, src: str, dst: str, service: str, now: float) -> None:
        """``src`` tried ``service`` at ``dst`` in vain."""
        self._turn(now)
        _note(self._hosts, src)
        _note(self._targets, dst)
        if service in self._services or len(self._services) < MOST_SERVICES:
            self._services[service] += 1

    def guessed(self, src: str, now: float) -> None:
        self._turn(now)
        _note(self._guessers, src)

    def days(self) -> tuple[KnockingDay, ...]:
        """The days so far, the last one not over."""
        now = self._summary()
        return (*self._days, now) if now.hosts or now.guessers else tuple(self._days)

    def snapshot(self) -> KnockingState:
        hosts, targets, guessers = map(list, (self._hosts, self._targets, self._guessers))
        services = dict(self._services)
        return KnockingState(list(self._days), self._day, hosts, targets, guessers, services)

    def restore(self, state: KnockingState) -> None:
        self._days, self._day = state.days, state.day
        self._hosts = dict.fromkeys(state.hosts)
        self._targets = dict.fromkeys(state.targets)
        self._guessers = dict.fromkeys(state.guessers)
        self._services = Counter(state.services)

    def _turn(self, now: float) -> None:
        day = max(0, int(now // 86_400.0))
        if day > self._day:
            self._days = list(self.days())[-(MOST_DAYS - 1) :]
            self._day = day
            for counted in (self._hosts, self._targets, self._guessers, self._services):
                counted.clear()

    def _summary(self) -> KnockingDay:
        return KnockingDay(
            self._day,
            len(self._hosts),
            sum(self._services.values()),
            len(self._targets),
            self._services.most_common(3),
            len(self._guessers),
        )


def login_of(record: FlowRecord) -> float | None:
    """Bytes exchanged on a service that people log in to; None where there was no exchange."""
    if record.proto != "tcp" or record.dst_port not in LOGIN_PORTS or record.phase == "start":
        return None
    if record.state not in (None, "established") or record.verdict in ("deny", "would-deny"):
        return None
    size = total_bytes(record)
    packets = record.packets
    if packets is None and record.packets_out is not None:
        packets = record.packets_out + (record.packets_in or 0)
    if packets is None:
        return float(size) if size > GREETING else None
    if packets < FEWEST_PACKETS or size <= packets * HEADERS + GREETING:
        return None
    return float(size)


def _note(names: dict[str, None], name: str) -> None:
    if len(names) < MOST_NAMES:
        names[name] = None

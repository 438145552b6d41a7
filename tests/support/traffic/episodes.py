"""Labelled attacks to be injected into a background: each a list of records and who is behind it.

A `Stage` is what an attacker would know of a background: its hosts and who talks to whom.
Every function draws one `InjectedEpisode` from ``rng``; the same seed gives the same episode.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from topology.records import FlowRecord

PORTS = (22, 135, 445, 3389, 5985)
GAPS = (1.0, 5.0, 30.0, 60.0, 120.0, 300.0)
FEWEST_PEERS, MOST_PEERS = 12, 60
LONGEST = 3600.0  # seconds that a sweep may take beyond its fewest peers
ANSWERING = 0.3  # share of targets that answer where the service is rare

Format = Literal["counted", "stated"]


@dataclass(frozen=True, slots=True)
class InjectedEpisode:
    """``sources`` are the hosts in the attacker's hands that start its records; ``usual`` are peers
    that they had before and that are visited for cover."""

    kind: str
    sources: frozenset[str]
    records: tuple[FlowRecord, ...]
    usual: frozenset[str] = frozenset()

    @property
    def begin(self) -> float:
        return self.records[0].ts

    @property
    def targets(self) -> frozenset[str]:
        return frozenset(record.dst_ip for record in self.records)


@dataclass(slots=True)
class Stage:
    """A background as an attacker sees it. ``form`` is how its records tell of success:
    ``counted`` (packets and bytes alone) or ``stated`` (a state as well)."""

    hosts: tuple[str, ...]
    targets: tuple[str, ...]
    begin: float
    end: float
    form: Format
    used: dict[str, list[FlowRecord]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[FlowRecord], inside: Callable[[str], bool]) -> Stage:
        """Internal hosts that began a connection, internal addresses that were reached."""
        used: dict[str, list[FlowRecord]] = {}
        for record in records:
            if inside(record.src_ip):
                used.setdefault(record.src_ip, []).append(record)
        return cls(
            hosts=tuple(sorted(used)),
            targets=tuple(sorted({r.dst_ip for r in records if inside(r.dst_ip)})),
            begin=records[0].ts,
            end=records[-1].ts,
            form="counted" if records[0].state is None else "stated",
            used=used,
        )

    def connect(
        self, ts: float, src: str, dst: str, port: int, answers: bool = True, size: int = 2_100
    ) -> FlowRecord:
        """One TCP connection of an attacker, as this background records connections."""
        state = None if self.form == "counted" else "established" if answers else "unanswered"
        return FlowRecord(
            ts=ts,
            src_ip=src,
            dst_ip=dst,
            proto="tcp",
            dst_port=port,
            duration=1.0,
            packets=14 if answers else 2,
            bytes=size if answers else 120,
            state=state,  # type: ignore[arg-type]
        )

    def moment(self, rng: random.Random, needs: float) -> float:
        """A random begin for something that takes ``needs`` seconds."""
        return self.begin + rng.uniform(0.0, max(0.0, self.end - self.begin - needs))

    def strangers(self, port: int) -> list[str]:
        """Hosts that never use the port."""
        return [h for h in self.hosts if all(r.dst_port != port for r in self.used.get(h, ()))]

    def usual(self, src: str, inside: Callable[[str], bool]) -> list[FlowRecord]:
        """Connections inside that ``src`` is known for."""
        return [record for record in self.used.get(src, ()) if inside(record.dst_ip)]


def peers_at(gap: float) -> int:
    """How many peers a sweep with this pause tries: at least 12, for at most about an hour."""
    return max(FEWEST_PEERS, min(MOST_PEERS, int(LONGEST / gap)))


def sweep(
    rng: random.Random,
    stage: Stage,
    gap: float,
    port: int,
    *,
    sources: int = 1,
    answering: float = ANSWERING,
    avoid: Collection[str] = (),
    peers: int | None = None,
    begin: float | None = None,
) -> InjectedEpisode:
    """An administration port tried at one new peer per ``gap`` seconds, in all, by ``sources``
    hosts that never used the port before."""
    count = peers_at(gap) if peers is None else peers
    fresh = [h for h in stage.strangers(port) if h not in avoid]
    mine = rng.sample(fresh, sources)
    free = [t for t in stage.targets if t not in mine and t not in avoid]
    victims = rng.sample(free, min(count, len(free)))
    ts = stage.moment(rng, 1.2 * count * gap) if begin is None else begin
    records = []
    for i, victim in enumerate(victims):
        answers = rng.random() < answering
        records.append(stage.connect(ts, mine[i % sources], victim, port, answers))
        ts += gap * rng.uniform(0.8, 1.2)
    name = "sweep" if sources == 1 else f"sweep-from-{sources}"
    return InjectedEpisode(name, frozenset(mine), tuple(records))


def campus_sweep(
    seed: int, stage: Stage, avoid: Collection[str] = (), begin: float | None = None
) -> InjectedEpisode:
    """The sweep of one seed: pauses, ports and answers in turn."""
    rng = random.Random(seed)
    return sweep(
        rng,
        stage,
        GAPS[seed % len(GAPS)],
        PORTS[seed % len(PORTS)],
        answering=1.0 if seed % 2 == 0 else ANSWERING,
        avoid=avoid,
        begin=begin,
    )


def chain(rng: random.Random, stage: Stage, gap: float = 90.0, hops: int = 5) -> InjectedEpisode:
    """From host to host by a shell that always lets the attacker in; nobody sweeps."""
    port = rng.choice((22, 3389, 445))
    way = rng.sample(stage.targets, hops + 1)
    ts = stage.moment(rng, 1.2 * hops * gap)
    records = []
    for src, dst in zip(way, way[1:], strict=False):
        records.append(stage.connect(ts, src, dst, port, size=90_000))
        ts += gap * rng.uniform(0.5, 1.5)
    return InjectedEpisode("hop-chain", frozenset(way[1:-1]), tuple(records))


def port_scan(
    rng: random.Random, stage: Stage, gap: float = 2.0, ports: int = 60
) -> InjectedEpisode:
    """One peer on many ports, of which one in twenty answers."""
    src = rng.choice(stage.hosts)
    dst = rng.choice([t for t in stage.targets if t != src])
    ts = stage.moment(rng, 1.2 * ports * gap)
    records = []
    for port in rng.sample(range(1, 10_000), ports):
        records.append(stage.connect(ts, src, dst, port, rng.random() < 0.05))
        ts += gap * rng.uniform(0.8, 1.2)
    return InjectedEpisode("port-scan", frozenset({src}), tuple(records))


def chaff(
    rng: random.Random, stage: Stage, gap: float = 30.0, per_probe: int = 20
) -> InjectedEpisode:
    """A sweep hidden in twenty times as many connections to peers that its host always uses."""
    hidden = sweep(rng, stage, gap, rng.choice(PORTS))
    (src,) = hidden.sources
    known = stage.used[src]
    records = list(hidden.records)
    for probe in hidden.records:
        for _ in range(per_probe):
            like = rng.choice(known)
            records.append(_again(like, probe.ts + rng.uniform(0.0, gap)))
    ordered = tuple(sorted(records, key=lambda r: r.ts))
    cover = frozenset(r.dst_ip for r in known) - hidden.targets
    return InjectedEpisode("chaff", hidden.sources, ordered, cover)


def mimicry(
    rng: random.Random, stage: Stage, inside: Callable[[str], bool], gap: float = 60.0
) -> InjectedEpisode:
    """Only connections that its host has made before, on footholds where it has any, a bit more
    often: what an attacker who knows the network would do."""
    able = [h for h in stage.hosts if len({r.dst_ip for r in stage.usual(h, inside)}) >= 2]
    src = rng.choice(able or list(stage.hosts))
    known = stage.usual(src, inside) or stage.used[src]
    footholds = [r for r in known if r.dst_port in PORTS] or known
    first = min(r.ts for r in footholds)
    begin = first + rng.uniform(0.3, 0.7) * (stage.end - first)
    records = []
    for i in range(20):
        records.append(_again(rng.choice(footholds), begin + i * gap * rng.uniform(0.9, 1.1)))
    return InjectedEpisode("mimicry", frozenset({src}), tuple(sorted(records, key=lambda r: r.ts)))


def poison(
    rng: random.Random, stage: Stage, episode: InjectedEpisode, share: float = 0.05
) -> tuple[FlowRecord, ...]:
    """What the source of ``episode`` adds to its own traffic beforehand, to be taken for normal:
    ``share`` of it, spread evenly, on the service that it will sweep, let in, to other peers."""
    (src,) = episode.sources
    before = [r for r in stage.used[src] if r.ts < episode.begin]
    count = round(share * len(before) / (1.0 - share))
    free = [t for t in stage.targets if t != src and t not in episode.targets]
    span = episode.begin - stage.begin
    port = episode.records[0].dst_port
    records = []
    for i in range(count if free else 0):
        ts = stage.begin + span * (i + rng.random()) / max(1, count)
        records.append(stage.connect(ts, src, free[i % len(free)], port))
    return tuple(records)


def mixed(
    background: Sequence[FlowRecord], *parts: Iterable[FlowRecord]
) -> list[tuple[FlowRecord, int]]:
    """Everything in time order, each record with the number of its part, 0 for background."""
    tagged = [(record, 0) for record in background]
    for number, part in enumerate(parts, 1):
        tagged += [(record, number) for record in part]
    tagged.sort(key=lambda pair: pair[0].ts)
    return tagged


def _again(record: FlowRecord, ts: float) -> FlowRecord:
    return FlowRecord(
        ts=ts,
        src_ip=record.src_ip,
        dst_ip=record.dst_ip,
        proto=record.proto,
        src_port=record.src_port,
        dst_port=record.dst_port,
        duration=record.duration,
        packets=record.packets,
        bytes=record.bytes,
        state=record.state,
    )

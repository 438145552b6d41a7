"""Days to respond to: recorded benign traffic, drawn anew for each seed, with attacks put in.

A day is put together from blocks of recorded traffic (a block bootstrap), so that no two are
alike. Training takes other blocks than the held-back days do. The attack is not recorded but
carried out: what an intruder does next depends on what got through, as with real ones, but does
not depend on who responds, so that policies are compared on the same days. Some days also have
somebody doing honest work that looks like an attack.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from random import Random

import msgspec

from benchmarks.runner import recorded
from policies.language.reader import load_policy
from policies.model import (
    Action,
    Adapt,
    Defaults,
    Envelope,
    Host,
    Mode,
    Policy,
    Segment,
    Selector,
)
from response.decision import ARMS
from topology.readers import RecordReader
from topology.records import FlowRecord

ROOT = Path(__file__).resolve().parents[2]
DEMO_DAY = ROOT / "mininet_tests" / "recordings" / "demo-day.csv.gz"
DEMO_POLICY = ROOT / "mininet_tests" / "scenarios" / "demo-policy.yaml"
ENVELOPE = Envelope(actions=ARMS, max_hosts=4, max_share=1.0, ttl=3600, rate_limit=100)
ADMIN_PORTS = (22, 445, 3389, 5900, 5985)
TAKES = 0.3  # how often a host that an intruder gets through to falls into his hands
MOST_HOSTS = 40  # of a large network that attacks play among


@dataclass(frozen=True, slots=True)
class Scene:
    """Where days take place. ``blocks`` are stretches of benign traffic, each ``block`` seconds
    long with times from 0; ``day`` and ``quiet`` are the seconds of a day and until anything is
    put into it; ``hosts`` are the addresses that attacks play among."""

    name: str
    policy: Policy
    hosts: tuple[str, ...]
    blocks: tuple[tuple[FlowRecord, ...], ...]
    block: float
    day: float
    quiet: float

    def half(self, held_back: bool) -> Scene:
        """Every other block: one half to learn from, the other to be measured on."""
        return replace(self, blocks=self.blocks[1::2] if held_back else self.blocks[0::2])


@dataclass(frozen=True, slots=True)
class InjectedConnection:
    """One connection that is put in. It is made only if ``needs`` (an address) is in the
    intruder's hands ``after`` seconds or longer, or is honest work (``needs`` None)."""

    record: FlowRecord
    needs: str | None
    takes: bool = False  # who is reached is in the intruder's hands from then on


@dataclass(frozen=True, slots=True)
class SceneDay:
    """Benign records in order, honest work that looks hostile, and an intruder's plans: what he
    does from each host, with times from the moment that the host fell into his hands."""

    benign: tuple[FlowRecord, ...]
    first: str | None
    begins: float
    plans: dict[str, tuple[InjectedConnection, ...]]


def demo_scene() -> Scene:
    """The shipped recording of twelve hosts, without the attack in it."""
    policy = load_policy([DEMO_POLICY])
    segments = tuple(replace(segment, adapt=Adapt.AUTO) for segment in policy.segments)
    policy = replace(policy, segments=segments, envelope=ENVELOPE)
    records = [record for record, label in labelled(DEMO_DAY) if not label]
    hosts = tuple(str(host.ips[0]) for host in policy.hosts)
    return Scene("demo", policy, hosts, _blocks(records, 10.0), 10.0, 420.0, 180.0)


def campus_scene() -> Scene:
    """Real campus traffic. Raises MissingData where it is not on this machine."""
    inside = "147.32."
    records = [record for record, _ in labelled(recorded("campus-background.csv.gz"))]
    counts: dict[str, int] = {}
    for record in records:
        if record.src_ip.startswith(inside):
            counts[record.src_ip] = counts.get(record.src_ip, 0) + 1
    busiest = sorted(counts, key=lambda each: (-counts[each], each))[:MOST_HOSTS]
    hosts = tuple(Host(f"h{n}", None, (ip_address(ip),)) for n, ip in enumerate(busiest))
    everyone = Segment(
        "campus", tuple(Selector(host=h.name) for h in hosts), Mode.OBSERVE, Adapt.AUTO
    )
    policy = Policy(
        "campus",
        hosts,
        (everyone,),
        defaults=Defaults(Action.ALLOW, Mode.OBSERVE),
        envelope=replace(ENVELOPE, max_hosts=12),
    )
    own = set(busiest)
    ours = [r for r in records if r.src_ip in own or r.dst_ip in own]
    return Scene("campus", policy, tuple(busiest), _blocks(ours, 120.0), 120.0, 960.0, 360.0)


def labelled(path: Path) -> Iterator[tuple[FlowRecord, bool]]:
    """Records with whether they are marked hostile, which no reader passes on."""
    with gzip.open(path, "rt") as text:
        marks = [row["label"] == "1" for row in csv.DictReader(text)]
    yield from zip(RecordReader(path), marks, strict=True)


def _blocks(records: Sequence[FlowRecord], length: float) -> tuple[tuple[FlowRecord, ...], ...]:
    start = min(record.ts for record in records)
    found: dict[int, list[FlowRecord]] = {}
    for record in sorted(records, key=lambda each: each.ts):
        number, within = divmod(record.ts - start, length)
        found.setdefault(int(number), []).append(msgspec.structs.replace(record, ts=within))
    return tuple(tuple(found[number]) for number in sorted(found))


def draw_day(scene: Scene, seed: int) -> SceneDay:
    """The same seed gives the same day."""
    rng = Random(f"{scene.name} {seed}")
    benign: list[FlowRecord] = []
    for number in range(int(scene.day / scene.block)):
        shift = number * scene.block
        benign += [msgspec.structs.replace(r, ts=r.ts + shift) for r in rng.choice(scene.blocks)]
    if rng.random() < 0.6:
        benign += _honest_work(scene, rng)
    benign.sort(key=lambda record: record.ts)
    if rng.random() < 0.15:  # nobody intrudes
        return SceneDay(tuple(benign), None, 0.0, {})
    begins = rng.uniform(scene.quiet, scene.quiet + 0.4 * (scene.day - scene.quiet))
    first = rng.choice(scene.hosts)
    plans = {host: tuple(_plan(scene, benign, host, rng)) for host in scene.hosts}
    return SceneDay(tuple(benign), first, begins, plans)


def _honest_work(scene: Scene, rng: Random) -> Iterable[FlowRecord]:
    """Somebody who looks after many hosts at once: an inventory, a release, a check."""
    who, port = rng.choice(scene.hosts), rng.choice((22, 443, 445, 9100))
    others = [host for host in scene.hosts if host != who]
    chosen = rng.sample(others, min(len(others), rng.randint(4, 12)))
    ts, gap = rng.uniform(scene.quiet, 0.8 * scene.day), rng.uniform(0.5, 6.0)
    for host in chosen:
        ts += rng.expovariate(1.0 / gap)
        yield _made(ts, who, host, port, rng, packets=rng.randint(8, 40))


def _plan(
    scene: Scene, benign: Sequence[FlowRecord], host: str, rng: Random
) -> Iterator[InjectedConnection]:
    """A sweep, fast or slow, then tries to go on by what this host or its peers use anyway."""
    others = [each for each in scene.hosts if each != host]
    used = sorted(
        {r.dst_port for r in rng.sample(benign, min(len(benign), 200)) if r.proto == "tcp"}
    )
    peers = sorted(
        {(r.dst_ip, r.dst_port) for r in benign if r.src_ip == host and r.proto == "tcp"}
    )
    style = rng.choice(("sweep", "slow sweep", "quiet"))
    ts = 0.0
    if style != "quiet":
        port, gap = rng.choice(ADMIN_PORTS), 0.1 if style == "sweep" else 3.0
        for target in rng.sample(others, min(len(others), 30)):
            ts += rng.expovariate(1.0 / gap)
            yield InjectedConnection(_made(ts, host, target, port, rng), host)
    for _ in range(rng.randint(3, 8)):
        ts += rng.expovariate(1.0 / 10.0)
        known = [(ip, port) for ip, port in peers if ip in others]
        if known and rng.random() < 0.5:
            target, port = rng.choice(known)
        else:
            target, port = rng.choice(others), rng.choice([*used, *ADMIN_PORTS])
        yield InjectedConnection(
            _made(ts, host, target, port, rng, packets=30), host, rng.random() < TAKES
        )


def _made(ts: float, src: str, dst: str, port: int, rng: Random, packets: int = 3) -> FlowRecord:
    return FlowRecord(
        ts, src, dst, "tcp", rng.randint(32768, 60999), port, duration=0.1 * packets,
        packets_out=packets, bytes_out=80 * packets, packets_in=packets, bytes_in=90 * packets,
        state="established",
    )  # fmt: skip

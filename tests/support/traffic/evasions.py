"""Attackers who know that the detector learns, and changes of a network that are no attack."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from msgspec.structs import replace

from detection.detector import Detector
from tests.support.traffic.episodes import InjectedEpisode, Stage
from tests.support.traffic.workdays import HOUR, MONDAY, GeneratedSite, site
from topology.records import FlowRecord

SMALL = 60  # workstations
NOON = MONDAY + 12 * HOUR
FROG_START = 1.0  # new peers an hour
FROG_MOST = 60.0
NEW_SERVER = "10.20.100.240"


@cache
def place() -> GeneratedSite:
    return site(SMALL)


def replace_hosts(stage: Stage, hosts: tuple[str, ...]) -> Stage:
    return Stage(hosts, stage.targets, stage.begin, stage.end, stage.form, stage.used)


def knows(detector: Detector, src: str, dst: str, service: str) -> bool:
    """Whether ``src`` is taken to use ``service`` at ``dst`` as a rule."""
    host = detector.host_registry.hosts.get(src)
    use = None if host is None else host.uses.get(service)
    return use is not None and dst in use.peers


def frog(growth: int, rng: random.Random, stage: Stage) -> InjectedEpisode:
    """Begins at one new peer an hour on Monday noon, and does ``growth`` percent more each hour."""
    src = rng.choice(stage.hosts)
    targets = [t for t in stage.targets if t != src]
    rng.shuffle(targets)
    ts = NOON
    records: list[FlowRecord] = []
    while ts < stage.end - 60.0 and len(records) < len(targets):
        hours = int((ts - NOON) / HOUR)
        rate = min(FROG_MOST, FROG_START * (1.0 + growth / 100.0) ** hours)
        records.append(stage.connect(ts, src, targets[len(records)], 22))
        ts += HOUR / rate * rng.uniform(0.8, 1.2)
    return InjectedEpisode(f"frog-{growth}", frozenset({src}), tuple(records))


def moved(records: Sequence[FlowRecord], since: float, seed: int) -> list[FlowRecord]:
    """From ``since`` on a file server has another address, and so have ten workstations."""
    here = place()
    desks = random.Random(seed).sample(here.staff, 10)
    new = {here.files[0]: NEW_SERVER, **{h: f"10.20.60.{i}" for i, h in enumerate(desks, 10)}}
    return [
        replace(r, src_ip=new.get(r.src_ip, r.src_ip), dst_ip=new.get(r.dst_ip, r.dst_ip))
        if r.ts >= since
        else r
        for r in records
    ]


def launched(records: Sequence[FlowRecord], since: float, seed: int) -> list[FlowRecord]:
    """From ``since`` on a new server offers a new service, which everybody begins to use within
    half an hour, and it in turn uses a database and is monitored."""
    here, rng = place(), random.Random(seed)
    first = {host: since + rng.uniform(0.0, 1800.0) for host in here.workstations}
    added: list[FlowRecord] = []
    for record in records:
        ts = record.ts
        if ts < since:
            continue
        if ts >= first.get(record.src_ip, ts + 1.0) and record.dst_port == 53:
            added.append(
                replace(record, ts=ts + 0.5, dst_ip=NEW_SERVER, proto="tcp", dst_port=8443)
            )
        elif record.src_ip == here.app[0] and record.dst_port == 5432:
            added.append(replace(record, ts=ts + 0.5, src_ip=NEW_SERVER))
        elif record.src_ip == here.monitor and record.dst_ip == here.app[0]:
            added.append(replace(record, ts=ts + 0.2, dst_ip=NEW_SERVER))
    return sorted([*records, *added], key=lambda r: r.ts)

"""From a score above the threshold to an alert: its kind, its evidence, its place in an episode.

A host has at most one episode at a time. An episode raises one alert, and another
one only when it becomes worse in kind (a scan that turns into a lateral path).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import expm1

from detection.alert import Alert, Contribution, Hop
from detection.alerting.outsiders import OutsiderAlert
from detection.features.catalogue import FEATURES, Feature, index_of
from detection.features.services import is_foothold, technique
from detection.models.learners.base import Range
from detection.settings import MODEL
from detection.state.hosts import MAX_HOPS, HostState

RANKS = {
    "novel-edge": 0,
    "volume": 0,
    "beacon": 0,
    "policy-probe": 1,
    "scan": 1,
    "spread": 1,
    "lateral-path": 2,
}
PATH_NATS = 5.0  # what the path features must add for an alert to be about a path
HOP_NATS = 2.5  # of which the hops themselves
PROBE_PEERS = 2  # refusals at more peers than this are a scan

_PATH = tuple(
    index_of(name) for name in ("role_flip", "hop_depth", "onward_peers", "suspect_origin")
)
_SERVICES_REFUSED = ("denied_pairs", "failed_pairs")
_DEPTH = index_of("hop_depth")
_FLIP = index_of("role_flip")
_REFUSED = slice(index_of("denied_pairs"), index_of("service_fanout"))
_FANOUT = slice(index_of("service_fanout"), index_of("new_services") + 1)


def is_path(contributions: Sequence[float]) -> bool:
    """Whether the contributions speak of a lateral path, whatever else they speak of."""
    if contributions[_DEPTH] < HOP_NATS:
        return False
    return sum(contributions[i] for i in _PATH) >= PATH_NATS


def kind_of(host: HostState, contributions: Sequence[float]) -> str:
    """The kind whose features add most; a path as soon as there is one that matters."""
    if is_path(contributions):
        return "lateral-path"
    sums: dict[str, float] = {}
    for feature, part in zip(FEATURES, contributions, strict=True):
        sums[feature.group] = sums.get(feature.group, 0.0) + part
    kind = max(sums, key=lambda group: (sums[group], group))
    if kind == "policy-probe" and host.denied is not None:
        peers = {peer for peer, _ in host.denied.seen}
        if len(peers) > PROBE_PEERS or host.unanswered is not None:
            return "scan"
    if kind in ("lateral-path", "scan"):
        # It reaches for many, but nobody was seen to come in.
        refused = sum(contributions[_REFUSED])
        got_in = sum(contributions[_FANOUT]) + contributions[_FLIP]
        reached = host.strongest is not None and host.strongest.foothold
        return "spread" if reached and got_in > refused else "scan"
    return kind


def cause_of(host: HostState, kind: str) -> tuple[str, str]:
    """What an alert is about: its kind, and the foothold service that its host fans out on."""
    use = host.strongest
    return kind, use.service if use is not None and use.foothold else ""


def is_about_other_peers(contributions: Sequence[float]) -> bool:
    """Whether it is mostly new peers that speak: those of an earlier alert are none."""
    new = sum(contributions[_FANOUT]) + contributions[_FLIP]
    return new > 0.5 * sum(contributions)


def path_of(host: HostState, kind: str, arrived: tuple[Hop, ...], since: float) -> tuple[Hop, ...]:
    """Time-ordered: how the suspect was reached, then what it reached for from ``since`` on.

    ``arrived`` is the path of the likeliest arrival, empty when nobody was seen to come in.
    """
    if kind == "lateral-path" and host.chain is not None:
        known = set(host.chain.path)
        arrival = host.chain.path[-2] if len(host.chain.path) > 1 else host.chain.path[-1]
        more = [
            hop
            for hop in host.hops
            if hop not in known and hop.ts >= arrival.ts and is_foothold(hop.service)
        ]
        return tuple(sorted((*host.chain.path, *more), key=lambda hop: hop.ts)[-MAX_HOPS:])
    if kind == "beacon" and host.beacon is not None:
        timing = host.beacon
        return (Hop(timing.last, host.address, timing.peer, timing.service),)
    left = max(1, MAX_HOPS - len(arrived))
    own = tuple(hop for hop in host.hops if hop.ts >= since)[-left:]
    return tuple(sorted((*arrived, *own), key=lambda hop: hop.ts))


def explain(
    host: HostState, contributions: Sequence[float], ranges: Mapping[int, Range]
) -> tuple[Contribution, ...]:
    """Every feature that adds something, biggest first."""
    parts = [
        _contribution(feature, host.values[i], ranges[i], part)
        for i, (feature, part) in enumerate(zip(FEATURES, contributions, strict=True))
        if part != 0.0
    ]
    return tuple(sorted(parts, key=lambda c: (-c.contribution, c.feature)))


def _contribution(feature: Feature, value: float, normal: Range, part: float) -> Contribution:
    if feature.logarithmic:
        return Contribution(feature.name, expm1(value), expm1(normal.low), expm1(normal.high), part)
    return Contribution(feature.name, value, normal.low, normal.high, part)


def make_alert(
    host: HostState,
    kind: str,
    ts: float,
    score: float,
    threshold: float,
    path: tuple[Hop, ...],
    features: tuple[Contribution, ...],
    seed: int,
    every_days: float | None,
) -> Alert:
    rows = tuple(host.rows)
    return Alert(
        id=_id(seed, host.address, kind, ts, rows[-1] if rows else 0),
        ts=ts,
        host=host.address,
        kind=kind,
        attack=technique(
            kind,
            path[-1].service if path else "",
            features[0].feature if features else "",
            only_addresses=not any(c.feature.startswith(_SERVICES_REFUSED) for c in features),
        ),
        score=score,
        threshold=threshold,
        raw=sum(c.contribution for c in features),
        features=features,
        path=path,
        records=rows,
        model=MODEL,
        every_days=every_days,
    )


def outsider_alert(
    address: str,
    found: OutsiderAlert,
    ts: float,
    score: float,
    threshold: float,
    row: int,
    seed: int,
) -> Alert:
    return Alert(
        id=_id(seed, address, found.kind, ts, row),
        ts=ts,
        host=address,
        kind=found.kind,
        attack=found.attack,
        score=score,
        threshold=threshold,
        raw=sum(part.contribution for part in found.features),
        features=found.features,
        path=found.path,
        records=(row,),
        model=MODEL,
    )


def _id(seed: int, address: str, kind: str, ts: float, row: int) -> str:
    thread = f"{seed}|{address}|{kind}|{ts!r}|{row}"
    return "al-" + hashlib.sha256(thread.encode()).hexdigest()[:12]

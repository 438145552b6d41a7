"""From a score above the threshold to an alert: its kind, its evidence, its place in an episode.

A host has at most one episode at a time. An episode raises one alert, and another
one only when it becomes worse in kind (a scan that turns into a lateral path).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from detection.alert import Alert, Contribution, Hop
from detection.alerting.outsiders import OutsiderAlert
from detection.features.catalogue import FEATURES, index_of
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
    "lateral-path": 2,
}
PATH_NATS = 5.0  # what the path features must add for an alert to be about a path
HOP_NATS = 2.5  # of which the hops themselves
PROBE_PEERS = 2  # refusals at more peers than this are a scan

_PATH = tuple(
    index_of(name) for name in ("role_flip", "hop_depth", "onward_peers", "suspect_origin")
)
_DEPTH = index_of("hop_depth")


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
    if kind == "lateral-path":
        return "scan"  # it reaches for many shells, but nobody was seen to come in
    return kind


def path_of(host: HostState, kind: str, arrived: tuple[Hop, ...]) -> tuple[Hop, ...]:
    """Time-ordered: how the suspect was reached, then what it reached for.

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
    own = tuple(host.hops)[-left:]
    return tuple(sorted((*arrived, *own), key=lambda hop: hop.ts))


def explain(
    host: HostState, contributions: Sequence[float], ranges: Mapping[int, Range]
) -> tuple[Contribution, ...]:
    """Every feature that adds something, biggest first."""
    parts = [
        Contribution(feature.name, host.values[i], ranges[i].low, ranges[i].high, part)
        for i, (feature, part) in enumerate(zip(FEATURES, contributions, strict=True))
        if part != 0.0
    ]
    return tuple(sorted(parts, key=lambda c: (-c.contribution, c.feature)))


def make_alert(
    host: HostState,
    kind: str,
    ts: float,
    score: float,
    threshold: float,
    path: tuple[Hop, ...],
    features: tuple[Contribution, ...],
    seed: int,
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
            outward=bool(features) and features[0].feature == "rare_volume",
        ),
        score=score,
        threshold=threshold,
        raw=sum(c.contribution for c in features),
        features=features,
        path=path,
        records=rows,
        model=MODEL,
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

"""One pass of a scorer over a background with episodes in it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from detection.alert import Scored
from tests.support.traffic.episodes import InjectedEpisode, mixed
from topology.records import FlowRecord


class Scorer(Protocol):
    """`detection.detector.Detector`, or one of the rivals."""

    def step(self, record: FlowRecord) -> Scored: ...


@dataclass(frozen=True, slots=True)
class Find:
    """What was seen of one episode. ``peers`` (targets tried) and ``seconds`` run from its
    beginning to the first record that carries an alert; None: missed."""

    kind: str
    peers: int | None
    seconds: float | None

    @property
    def alerted(self) -> bool:
        return self.peers is not None


@dataclass(frozen=True, slots=True)
class DetectionTrial:
    """``others`` are internal hosts alerted that no episode has to do with, one entry for each
    alert; ``tops`` the highest score of each internal host that is no source, ``reach`` that of
    each episode; ``scores`` are those of the episodes' and of internal hosts' records, with the
    number of the episode (0: background)."""

    finds: tuple[Find, ...]
    others: tuple[str, ...]
    tops: dict[str, float]
    reach: tuple[float, ...]
    scores: list[float]
    parts: list[int]

    def found_at(self, budget: int) -> tuple[bool, ...]:
        """Which episodes score above all but ``budget`` of the other internal hosts: recall as if
        the threshold had been set with hindsight to spend exactly that many false alerts."""
        ordered = sorted(self.tops.values(), reverse=True)
        threshold = ordered[budget] if budget < len(ordered) else -1.0
        return tuple(score > threshold for score in self.reach)


def play(
    scorer: Scorer,
    background: Sequence[FlowRecord],
    episodes: Sequence[InjectedEpisode],
    inside: Callable[[str], bool],
    before: Sequence[FlowRecord] = (),
) -> DetectionTrial:
    """Score everything in time order. ``before`` are records of the attackers that are not yet
    the episode (poison): they count neither as found nor as false."""
    sources = frozenset().union(*(e.sources for e in episodes))
    records = mixed(background, *(e.records for e in episodes), before)
    extra = len(episodes) + 1
    first: dict[int, FlowRecord] = {}
    others: list[str] = []
    tops: dict[str, float] = {}
    reach = [0.0] * len(episodes)
    scores: list[float] = []
    parts: list[int] = []
    for record, part in records:
        scored = scorer.step(record)
        host = record.src_ip
        if 0 < part < extra or (part == 0 and inside(host)):
            scores.append(scored.score)
            parts.append(part)
        if 0 < part < extra:
            if scored.alert_id is not None and host in episodes[part - 1].sources:
                first.setdefault(part, record)
            reach[part - 1] = max(reach[part - 1], scored.score)
        elif host not in sources and inside(host):
            if scored.score > tops.get(host, -1.0):
                tops[host] = scored.score
            if scored.alert is not None:
                others.append(host)
    finds = [_find(episode, first.get(i)) for i, episode in enumerate(episodes, 1)]
    return DetectionTrial(tuple(finds), tuple(others), tops, tuple(reach), scores, parts)


def _find(episode: InjectedEpisode, alerted: FlowRecord | None) -> Find:
    if alerted is None:
        return Find(episode.kind, None, None)
    tried = {r.dst_ip for r in episode.records if r.ts <= alerted.ts}
    return Find(episode.kind, len(tried - episode.usual), alerted.ts - episode.begin)

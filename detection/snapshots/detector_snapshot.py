"""A detector as bytes, and back: tables of hosts and edges, and beside them what was learned.

What is read is refused, or is a state that a detector can go on from: numbers within bounds, times
that are over, references to what is there. See `docs/decisions/0013-models-are-data.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from detection.alerting.outsiders import Outsiders, OutsidersState
from detection.alerting.thresholds import Thresholds, ThresholdsState
from detection.features.feature_update import FeatureUpdate
from detection.features.record_form import RecordForm
from detection.models.learners.edges import EdgeLearner
from detection.models.learning import Learning, LearningState
from detection.models.scoring import Scoring, ScoringState
from detection.settings import DetectorSettings
from detection.snapshots.columns import ColumnReader, ColumnWriter
from detection.snapshots.container import SnapshotFormat
from detection.snapshots.edge_tables import read_edges, read_graph, write_edges, write_graph
from detection.snapshots.host_tables import read_hosts, write_hosts
from detection.state.address_scope import TerritoryState
from detection.state.host_registry import HostRegistry
from detection.state.stored_values import MOST, VAST, Events, Moment, Text
from topology.graph import CommunicationGraph

MIB = 1 << 20
FORMAT = SnapshotFormat(b"septum-detector-", 9, "detector snapshot", "its", 256 * MIB)
"""All the hosts and edges that a detector remembers by default are about 140 MiB unpacked."""

MOST_LEARNED = 8 * MIB  # bytes of what is no table; this much of it is read before it is checked
MOST_TEXTS = 4_000_000
MOST_EDGES = 10_000_000


class Progress(Struct, frozen=True, array_like=True):
    """``first`` is the time of the first record, ``row`` the number of the next."""

    seed: Annotated[str, Meta(pattern=r"^-?[0-9]{1,99}$")]
    now: Annotated[float, Meta(ge=0.0, le=VAST)]
    first: Moment | None
    row: Events
    alerts: Events


class _Learned(Struct, frozen=True, array_like=True):
    settings: DetectorSettings
    progress: Progress
    grain: Annotated[float, Meta(ge=0.0, le=60.0)]
    form: RecordForm
    territory: TerritoryState
    suspended: list[Text]
    forgotten: Events
    due: Moment
    forgotten_edges: Events
    aged_out: Events
    graph_now: Moment
    scoring: ScoringState
    thresholds: ThresholdsState
    learning: LearningState
    edge_learner: object
    outsiders: OutsidersState


class _Stored(Struct, frozen=True, array_like=True):
    learned: Annotated[bytes, Meta(max_length=MOST_LEARNED)]
    texts: Annotated[list[Text], Meta(max_length=MOST_TEXTS)]
    columns: Annotated[dict[str, bytes], Meta(max_length=1000)]


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """All that a detector learns and remembers."""

    registry: HostRegistry
    graph: CommunicationGraph
    scoring: Scoring
    thresholds: Thresholds
    learning: Learning
    edge_learner: EdgeLearner
    outsiders: Outsiders
    feature_update: FeatureUpdate


def dump(settings: DetectorSettings, progress: Progress, parts: DetectorParts) -> bytes:
    registry, graph = parts.registry, parts.graph
    learned = _Learned(
        settings,
        progress,
        parts.feature_update.grain,
        parts.feature_update.form,
        registry.territory.snapshot(),
        sorted(registry.suspended),
        registry.forgotten,
        registry.due,
        registry.edges.forgotten,
        graph.aged_out,
        graph.now,
        parts.scoring.snapshot(),
        parts.thresholds.snapshot(),
        parts.learning.snapshot(),
        parts.edge_learner.snapshot(),
        parts.outsiders.snapshot(),
    )
    out = ColumnWriter()
    write_edges(registry.edges, (host.beacon for host in registry.hosts.values()), out)
    write_hosts(registry.hosts, out)
    write_graph(graph, out)
    return FORMAT.pack(_Stored(msgspec.msgpack.encode(learned), list(out.texts), out.columns))


@dataclass(frozen=True, slots=True)
class StoredDetector:
    """A snapshot whose outside was checked; `fill` checks the rest."""

    settings: DetectorSettings
    progress: Progress
    _learned: _Learned
    _stored: _Stored

    def fill(self, parts: DetectorParts) -> None:
        """Into the parts of a new detector of these settings and seed, which is to be discarded on
        ValueError: the snapshot is damaged or foreign."""
        try:
            self._fill(parts)
        except (ValueError, OverflowError) as problem:
            raise FORMAT.damaged(problem) from None

    def _fill(self, parts: DetectorParts) -> None:
        learned, stored = self._learned, self._stored
        now = self.progress.now
        registry, graph = parts.registry, parts.graph
        registry.territory.restore(learned.territory)
        source = ColumnReader(dict(stored.columns), stored.texts, now)
        read_edges(source, registry.edges)
        registry.restore(read_hosts(source, self.settings.max_hosts), learned.suspended)
        read_graph(source, graph)
        source.finish()
        registry.forgotten, registry.due = learned.forgotten, learned.due
        registry.edges.forgotten = learned.forgotten_edges
        graph.aged_out, graph.now = learned.aged_out, learned.graph_now
        parts.feature_update.grain, parts.feature_update.form = learned.grain, learned.form
        parts.scoring.restore(learned.scoring, now)
        parts.thresholds.restore(learned.thresholds)
        parts.learning.restore(learned.learning)
        parts.edge_learner.restore(learned.edge_learner)
        parts.outsiders.restore(learned.outsiders, now)


def load(data: bytes) -> StoredDetector:
    """Raises ValueError when the bytes are not a snapshot of this version."""
    stored = FORMAT.unpack(data, _Stored)
    try:
        learned = msgspec.msgpack.decode(stored.learned, type=_Learned)
        progress = learned.progress
        if progress.first is not None and progress.first > progress.now:
            raise ValueError("the first record is later than now")
        _check(learned.settings)
    except (ValueError, RecursionError) as problem:
        raise FORMAT.damaged(problem) from None
    return StoredDetector(learned.settings, progress, learned, stored)


def _check(settings: DetectorSettings) -> None:
    """Raises ValueError for settings that bound nothing."""
    numbers = (settings.alert_budget, settings.window, settings.hop_window, settings.episode_quiet)
    if max(numbers) > MOST or max(settings.max_hosts, settings.max_edges) > MOST_EDGES:
        raise ValueError("settings out of bounds")

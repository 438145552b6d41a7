"""Interfaces that the response depends on: a store and a detector.

`response.state.store.Store` is the store that ships (SQLite); a server database can
stand in by offering the same methods. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from detection.alert import Alert, Scored
from response.audit.log import AuditStore
from response.decision import ActionChoice, Decision, DecisionState
from response.feed_listing import ListFeed
from topology.graph import CommunicationGraph
from topology.records import Binding, DroppedSource, FlowRecord, Link

EXPORTERS = "exporters"
"""Under this name `StateStore.meta` holds the last `FlowsCollected` as JSON, without records."""


CHECKPOINTS_SENT = "checkpoints_sent"
"""Under this name it holds as JSON what was sent to each target of checkpoints, if there is one."""


class StoredFlow(NamedTuple):
    """One observed connection with the score its record got (None: not scored)."""

    record: FlowRecord
    score: float | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert with its outcome and the records behind it.

    ``outcome`` is ``active``, ``proposed`` or ``alert``; ``reason`` says why
    it went no further; ``decision`` is the id it led to or belongs to; ``choice`` what there
    was to choose from, where there was a choice.
    """

    alert: Alert
    outcome: str
    reason: str
    decision: str | None = None
    evidence: tuple[FlowRecord, ...] = ()
    choice: ActionChoice | None = None


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """What `flows` looks for; None or empty matches everything. ``after`` is a row number."""

    sources: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    verdict: str | None = None
    since: float | None = None
    after: int = 0


class StateStore(AuditStore, Protocol):
    """Durable state of one controller. Every method is safe while another process writes."""

    def save_decision(self, decision: Decision) -> None: ...
    def decision(self, decision_id: str) -> Decision | None: ...
    def decisions(self, state: DecisionState | None = None) -> tuple[Decision, ...]: ...
    def active_decisions(self, now: float) -> tuple[Decision, ...]: ...
    def overridden_decisions(self, now: float) -> tuple[Decision, ...]: ...
    def unsettled_decisions(self, now: float) -> tuple[Decision, ...]: ...
    def next_decision_number(self) -> int: ...

    def save_bindings(self, bindings: Sequence[Binding]) -> None: ...
    def bindings(self) -> tuple[Binding, ...]: ...
    def save_links(self, links: Sequence[Link]) -> None: ...
    def links(self) -> tuple[Link, ...]: ...

    def save_host_names(self, names: Mapping[str, Sequence[str]]) -> None: ...
    def host_names(self) -> dict[str, list[str]]: ...

    def append_flows(self, flows: Iterable[StoredFlow]) -> None: ...
    def flows(
        self, wanted: FlowFilter = ..., limit: int = ...
    ) -> tuple[tuple[int, StoredFlow], ...]: ...

    def dropped_sources(
        self, after: int = ..., limit: int = ...
    ) -> tuple[tuple[int, DroppedSource], ...]: ...

    def save_feed_block(self, listed: ListFeed) -> None: ...
    def feed_blocks(self) -> tuple[ListFeed, ...]: ...

    def save_alert(self, stored: StoredAlert) -> None: ...
    def alert_of(self, decision_id: str) -> StoredAlert | None: ...
    def alerts(self, limit: int = ...) -> tuple[StoredAlert, ...]: ...

    def save_snapshot(self, ts: float, model: str, data: bytes) -> int:
        """Keep it, the newest few of each model only; its number."""

    def snapshots(self) -> tuple[tuple[int, float, str, int], ...]:
        """Number, time, model and size in bytes of all, oldest first."""

    def snapshot(self, number: int) -> tuple[float, str, bytes] | None: ...
    def latest_snapshot(self, model: str) -> tuple[float, bytes] | None: ...

    def save_pending_reward(self, case_id: str, data: str | None) -> None: ...
    def pending_rewards(self) -> tuple[str, ...]: ...


class SuspectDetector(Protocol):
    """The detector as the response uses it: scores, and exclusion of suspects from learning."""

    @property
    def graph(self) -> CommunicationGraph:
        """Who talked to whom."""

    def step(self, record: FlowRecord) -> Scored: ...
    def include(self, networks: Iterable[str]) -> None: ...
    def suspend(self, address: str) -> None: ...
    def resume(self, address: str) -> None: ...
    def snapshot(self) -> bytes: ...

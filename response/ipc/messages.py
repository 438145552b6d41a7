"""What the controller and the analysis say to each other, as values and as msgpack-ready lists.

Records may be lost (and are counted); commands never are.
"""

from __future__ import annotations

from dataclasses import dataclass

from response.decision import Decision, InstalledRule
from response.feed_listing import ListFeed
from response.policy_event import PolicyEvent
from topology.records import Binding, FlowRecord, SpoofedPacket


@dataclass(frozen=True, slots=True)
class RecordsSeen:
    """Controller → analysis: connections that started or ended, in order of sight.

    ``lost`` counts records dropped since the last message because a queue was full.
    """

    records: tuple[FlowRecord, ...]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class HostsChanged:
    """Controller → analysis: all bindings that hold now."""

    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class SpoofsSeen:
    spoofs: tuple[SpoofedPacket, ...]


@dataclass(frozen=True, slots=True)
class RulesConfirmed:
    """Controller → analysis: a switch answered the barrier behind these rules.

    ``decision`` is the decision's id; ``removed`` tells an undo from an install.
    """

    ts: float
    decision: str
    rules: tuple[InstalledRule, ...]
    removed: bool = False


@dataclass(frozen=True, slots=True)
class SwitchChanged:
    """Controller → analysis: a reconciliation or connection event, for the audit.

    ``what`` is ``connected``, ``disconnected``, ``reconciled``, ``failed``, ``drift`` (somebody
    else changed its rules), ``repaired``, ``unread`` (its rules could not be read), ``limited``
    (what it cannot do), ``standby`` (another controller's), ``taken`` (from another), ``full`` (it
    denies new connections, for it can track no more) or ``room`` (that is over).
    """

    ts: float
    switch: int
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class PolicyApplied:
    ts: float
    files: tuple[str, ...]
    digest: str
    problem: str | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class PolicyEvents:
    """Controller → analysis: what was done with policies, for the audit. Said again at every
    start: those that were written down already are passed over."""

    events: tuple[PolicyEvent, ...]


@dataclass(frozen=True, slots=True)
class PolicyConfirmed:
    """Controller → analysis: every connected switch answered the barrier behind a policy."""

    version: int
    switches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """Controller → analysis: where its switches connect from; no feed may list them."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enforce:
    """Analysis → controller: put this decision's rules on the switches."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Release:
    """Analysis → controller: take this decision's rules away, exactly."""

    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Analysis → controller, once: everything is loaded and records may come.

    ``model`` names the detector's state (``fresh`` or ``restored``), ``active``
    counts the decisions that still hold.
    """

    ts: float
    model: str
    active: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A person → analysis: ``approve``, ``reject``, ``release``, ``extend``, ``hold``, ``resume``.

    ``decision`` is an id, empty for ``hold`` and ``resume``; ``by`` who asks; ``seconds``
    is for ``extend``. What begins with ``model-`` is about the model:
    ``decision`` names a snapshot then, and ``alert_budget`` is a challenger's.
    """

    what: str
    decision: str
    by: str
    note: str = ""
    seconds: int = 0
    alert_budget: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Analysis → a person: whether it was done, and one line that says so."""

    ok: bool
    text: str


Message = (
    RecordsSeen
    | HostsChanged
    | SpoofsSeen
    | RulesConfirmed
    | SwitchChanged
    | PolicyApplied
    | PolicyEvents
    | PolicyConfirmed
    | OwnAddresses
)
Command = Enforce | Release
Order = Command | ListFeed
Reply = Ready | Order

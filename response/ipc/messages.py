"""The messages between the controller and the analysis, and between the analysis and people.

Records may be lost (and are counted); commands never are.
"""

from __future__ import annotations

from msgspec import Struct

from policies.compiler import SwitchView
from policies.compiler.targets import Form
from response.decision import Decision, InstalledRule
from response.feed_listing import ListFeed
from response.policy_event import PolicyEvent
from topology.records import Binding, FlowRecord, Link, SpoofedPacket


class IpcMessage(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A message is a map of its fields, with the name of its class as ``type``."""


class RecordsSeen(IpcMessage, frozen=True):
    """Controller → analysis: connections that started or ended, in order of sight.

    ``lost`` counts records dropped since the last message because a queue was full.
    """

    records: tuple[FlowRecord, ...]
    lost: int = 0


class HostsChanged(IpcMessage, frozen=True):
    """Controller → analysis: all bindings that hold now."""

    bindings: tuple[Binding, ...]


class SpoofsSeen(IpcMessage, frozen=True):
    spoofs: tuple[SpoofedPacket, ...]


class RulesConfirmed(IpcMessage, frozen=True):
    """Controller → analysis: a switch answered the barrier behind these rules.

    ``decision`` is the decision's id; ``removed`` tells an undo from an install.
    """

    ts: float
    decision: str
    rules: tuple[InstalledRule, ...]
    removed: bool = False


class SwitchChanged(IpcMessage, frozen=True):
    """Controller → analysis: a reconciliation or connection event, for the audit.

    ``what`` is ``connected``, ``disconnected``, ``reconciled``, ``failed``, ``drift`` (somebody
    else changed its rules), ``repaired``, ``unread`` (its rules could not be read), ``limited``
    (what it cannot do), ``standby`` (another controller's), ``taken`` (from another, or again),
    ``full`` (it denies new connections, for it can track no more), ``room`` (that is over),
    ``ports`` (reported ones that cannot be), ``refused`` (rules, left out there),
    ``refused-connection`` (in its name), ``released`` (handed back) or ``forgotten`` (a host that
    was found there).
    """

    ts: float
    switch: int
    what: str
    detail: str


class LinkChanged(IpcMessage, frozen=True):
    """Controller → analysis: both ports of a cable became trunks (``what`` is ``found``), are none
    any more (``lost``), or were not taken for trunks (``refused``), for the audit."""

    ts: float
    what: str
    link: Link
    detail: str


class HostPlaced(IpcMessage, frozen=True):
    """Controller → analysis: an undeclared host was ``found``, has ``moved`` or is ``gone``, for
    the audit; ``binding`` is its place, the old one where it is gone."""

    ts: float
    what: str
    binding: Binding


class PolicyApplied(IpcMessage, frozen=True):
    ts: float
    files: tuple[str, ...]
    digest: str
    problem: str | None = None
    version: int = 0


class PolicyEvents(IpcMessage, frozen=True):
    """Controller → analysis: what was done with policies, for the audit. Repeated at every start;
    events that are already recorded are skipped."""

    events: tuple[PolicyEvent, ...]


class PolicyConfirmed(IpcMessage, frozen=True):
    """Controller → analysis: every connected switch answered the barrier behind a policy."""

    version: int
    switches: tuple[int, ...]


class OwnAddresses(IpcMessage, frozen=True):
    """Controller → analysis: where its switches connect from; no feed may list them."""

    addresses: tuple[str, ...]


class Enforce(IpcMessage, frozen=True):
    """Analysis → controller: put this decision's rules on the switches."""

    decision: Decision


class Release(IpcMessage, frozen=True):
    """Analysis → controller: take this decision's rules away, exactly."""

    decision: Decision
    reason: str


class Ready(IpcMessage, frozen=True):
    """Analysis → controller, once: everything is loaded and records may come.

    ``model`` names the detector's state (``fresh`` or ``restored``), ``active``
    counts the decisions that still hold.
    """

    ts: float
    model: str
    active: int = 0


class ProofWanted(IpcMessage, frozen=True):
    """Controller → prover: would the rules of these switches mean what a policy version says?

    ``switches`` are each a view with the form of its rules, ``discovered`` the hosts that were
    found, ``retained`` as `policies.semantics.retained_intents.written` has them; ``now`` is the
    moment at which intents' ends are looked at.
    """

    number: int
    version: int
    now: float
    switches: tuple[tuple[SwitchView, Form], ...]
    discovered: tuple[Binding, ...] = ()
    retained: str | None = None


class ProofFound(IpcMessage, frozen=True):
    """Prover → controller: the answer to the request of this number.

    ``holds`` only where every packet is covered and treated as the policy says; ``examples`` are
    lines about one that is not, ``unproven`` what could not be covered.
    """

    number: int
    holds: bool
    seconds: float
    examples: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()


class Alive(IpcMessage, frozen=True):
    """Analysis → controller: a sign of life, each second; ``doing`` is what it begins now, which
    may take ``long``, empty for nothing in particular."""

    doing: str = ""
    long: bool = False


class Unsent(IpcMessage, frozen=True):
    """Analysis → controller: so many messages were not sent, being larger than a frame may be."""

    messages: int


class StorageChanged(IpcMessage, frozen=True):
    """Analysis → controller: whether the store takes what it is given (``problem`` says why not),
    and what was lost since the analysis started, by kind."""

    ts: float
    problem: str | None
    not_stored: dict[str, int]


class Ask(IpcMessage, frozen=True):
    """A person → analysis: ``approve``, ``reject``, ``release``, ``extend``, ``hold``, ``resume``.

    ``decision`` is an id, empty for ``hold`` and ``resume``; ``by`` who asks; ``seconds``
    is for ``extend``. ``refresh`` and ``accept`` are about the feed that ``decision`` names. What
    begins with ``model-`` is about the model: ``decision`` names a snapshot then, and
    ``alert_budget`` is a challenger's.
    """

    what: str
    decision: str
    by: str
    note: str = ""
    seconds: int = 0
    alert_budget: float | None = None


class ExporterCounts(Struct, frozen=True):
    """What one exporter of flows has sent since the collector's start; ``heard`` when last.

    ``lost`` is what gaps in its sequence numbers tell: rows, of NetFlow 9 datagrams.
    """

    address: str
    heard: float
    datagrams: int
    rows: int
    bad: int = 0
    lost: int = 0
    untemplated: int = 0
    without_addresses: int = 0
    sampling: int = 1
    problem: str = ""


class FlowsCollected(IpcMessage, frozen=True):
    """Collector → analysis: connections that exporters of flows reported, and all counts so far.

    ``dropped`` are records that were too many, ``unlisted`` datagrams of addresses that are not
    listened to, ``repeated`` rows of what another exporter had counted.
    """

    records: tuple[FlowRecord, ...]
    exporters: tuple[ExporterCounts, ...]
    dropped: int = 0
    unlisted: int = 0
    repeated: int = 0


class Answer(IpcMessage, frozen=True):
    """Analysis → a person: whether it was done, and one line that says so."""

    ok: bool
    text: str


Message = (
    RecordsSeen
    | HostsChanged
    | SpoofsSeen
    | RulesConfirmed
    | SwitchChanged
    | LinkChanged
    | HostPlaced
    | PolicyApplied
    | PolicyEvents
    | PolicyConfirmed
    | OwnAddresses
)
Command = Enforce | Release
Order = Command | ListFeed
Reply = Ready | StorageChanged | Order
Beside = Alive | Unsent
"""What the link to the analysis keeps for itself."""

"""The values of a checked policy, named in the terms of the policy language.

``policies.language.reader`` makes a `Policy` from files; everything after it (verdicts, compiling,
proving) reads only these values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DHCP, ADVERTISEMENTS = "dhcp", "ra"  # what a host may serve to a whole network

ANY = "any"
UNKNOWN = "unknown"
RESERVED_NAMES = (ANY, UNKNOWN)  # of no segment: every address, and addresses in no segment

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
PROTOCOL_NUMBERS = {"icmp": ICMP, "tcp": TCP, "udp": UDP, "icmpv6": ICMPV6, "sctp": SCTP}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}
PORT_PROTOCOLS = frozenset({TCP, UDP, SCTP})
ONLY_IN: dict[int | None, int] = {ICMP: 4, ICMPV6: 6}  # protocols of one address family


class Mode(IntEnum):
    """How far verdicts are enforced; the larger (stricter) one applies to a pair of ends."""

    OBSERVE = 0
    AUDIT = 1
    ENFORCE = 2


class Adapt(IntEnum):
    """How far machine decisions go in a segment; the smaller (more cautious) one applies."""

    OFF = 0
    ALERT = 1
    PROPOSE = 2
    AUTO = 3


class Action(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Tier(StrEnum):
    """Groups of intents, in order of evaluation; everything else derives the order from here."""

    EMERGENCY = "emergency"
    ADAPTIVE = "adaptive"
    SECURITY = "security"
    APPLICATION = "application"
    BASELINE = "baseline"
    DEFAULT = "default"

    @property
    def rank(self) -> int:
        """The place in the order of evaluation, from 0."""
        return _RANKS[self]


_RANKS = {tier: rank for rank, tier in enumerate(Tier)}
INTENT_TIERS = tuple(tier for tier in Tier if tier not in (Tier.ADAPTIVE, Tier.DEFAULT))
"""The tiers that an intent may be in."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """The place of something in a file: the file as given, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Source("<generated>", 1, 1)


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    mac: str | None = None
    ips: tuple[Address, ...] = ()
    switch: int | None = None
    port: int | None = None
    vlan: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    routes: tuple[Network, ...] = ()
    routed: bool = False
    serves: tuple[str, ...] = ()  # `DHCP`, `ADVERTISEMENTS`
    source: Source = NOWHERE

    def label(self, key: str) -> str | None:
        return dict(self.labels).get(key)


@dataclass(frozen=True, slots=True)
class Selector:
    """One entry of ``members`` or ``protected``: every key that is set must match."""

    labels: tuple[tuple[str, str], ...] = ()
    host: str | None = None
    cidr: Network | None = None
    excepts: tuple[Network, ...] = ()
    switch: int | None = None
    port: int | None = None
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    members: tuple[Selector, ...]
    mode: Mode | None = None
    adapt: Adapt | None = None
    description: str = ""
    source: Source = NOWHERE


HELPERS = {"ftp": TCP, "tftp": UDP}
"""Connection-tracking helpers of Open vSwitch, with the protocol of what they read."""

RELATED_FROM = 1_024
"""The lowest port of a connection that a helper may let in."""


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """A protocol with a range of responder ports, or of ICMP types.

    ``proto`` None is every protocol; ``low``/``high`` None is every port or
    type. ICMP (1) exists in IPv4 only and ICMPv6 (58) in IPv6 only. ``helper`` is the
    connection-tracking helper that finds the connections which belong to one of this service.
    """

    proto: int | None = None
    low: int | None = None
    high: int | None = None
    helper: str | None = None

    def matches(self, proto: int, port: int) -> bool:
        if self.proto is None:
            return True
        if self.proto != proto:
            return False
        return self.low is None or self.high is None or self.low <= port <= self.high

    def __str__(self) -> str:
        if self.proto is None:
            return "any"
        name = PROTOCOL_NAMES.get(self.proto, f"ip/{self.proto}")
        if self.low is None:
            return name
        if self.helper is not None:
            return f"{name}/{self.low} (helper {self.helper})"
        return f"{name}/{self.low}" if self.low == self.high else f"{name}/{self.low}-{self.high}"


@dataclass(frozen=True, slots=True)
class Intent:
    """``sources`` and ``targets`` hold segment names, `ANY` or `UNKNOWN`."""

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    services: tuple[Service, ...]
    action: Action = Action.ALLOW
    tier: Tier = Tier.APPLICATION
    keep_established: bool = False
    log: bool = False
    expires: datetime | None = None
    description: str = ""
    source: Source = NOWHERE

    def holds(self, now: float) -> bool:
        """Whether it has not expired at ``now`` (seconds since the epoch)."""
        return self.expires is None or self.expires.timestamp() > now


@dataclass(frozen=True, slots=True)
class Infrastructure:
    arp: Action = Action.ALLOW
    nd: Action = Action.ALLOW
    dhcp: Action = Action.ALLOW


@dataclass(frozen=True, slots=True)
class Defaults:
    action: Action = Action.DENY
    mode: Mode = Mode.AUDIT
    infrastructure: Infrastructure = Infrastructure()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The limits that machine decisions may act in (the ``adaptive`` section).

    ``ttl`` in seconds; ``rate_limit`` in packets per second. ``defaulted`` names the keys that the
    policy does not write. ``trusted_exporters`` may send flow exports that machine decisions rest
    on.
    """

    actions: tuple[str, ...] = ("alert",)
    protected: tuple[Selector, ...] = ()
    max_hosts: int = 1
    max_share: float = 0.2
    ttl: int = 900
    rate_limit: int = 100
    trusted_exporters: tuple[Address, ...] = ()
    source: Source = NOWHERE
    defaulted: tuple[str, ...] = field(default=(), compare=False, repr=False)


FEED_FORMATS = ("cidr-list", "csv", "json", "stix2")


@dataclass(frozen=True, slots=True)
class Feed:
    """Refresh in seconds; ``path`` is a file or a URL. ``max_share`` is of each address family,
    ``max_change`` of the feed's own entries."""

    name: str
    path: str
    format: str
    mode: Mode = Mode.AUDIT
    refresh: int = 3600
    min_confidence: int = 0
    may_list_own: bool = False
    max_share: float = 0.004
    max_change: float = 0.5
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class PolicyTest:
    origin: str
    target: str
    service: Service
    expect: Action
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    hosts: tuple[Host, ...] = ()
    segments: tuple[Segment, ...] = ()
    services: tuple[tuple[str, tuple[Service, ...]], ...] = ()
    intents: tuple[Intent, ...] = ()
    defaults: Defaults = Defaults()
    envelope: Envelope | None = None
    feeds: tuple[Feed, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """The first packet of a connection: ``port`` is the responder's, or the ICMP type."""

    src: Address
    dst: Address
    proto: int
    port: int = 0


@dataclass(frozen=True, slots=True)
class Restriction:
    """A live machine decision as the policy engine sees it.

    ``number`` is the decision's cookie number, ``action`` ``quarantine``,
    ``isolate`` or ``rate_limit``, ``expires`` seconds since the epoch. It holds for the
    ``addresses`` wherever they are, and for all that is on the ``ports`` (switch and number).
    """

    number: int
    action: str
    addresses: tuple[Address, ...]
    expires: float
    ports: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class NearestMiss:
    intent: str
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``decision`` is the number of the machine decision, ``feed`` the name of the feed that the
    adaptive tier decides by. What a feed only records is forwarded, and ``intent`` is then the one
    that lets it pass."""

    action: Action
    forwarded: bool
    mode: Mode
    tier: Tier
    intent: str | None
    from_segments: tuple[str, ...]
    to_segments: tuple[str, ...]
    nearest_miss: NearestMiss | None = None
    source: Source | None = None
    decision: int | None = None
    feed: str | None = None

"""The segments of every address.

Segments are declared over hosts, ports and networks; rules and verdicts need them over addresses.
`Membership` has the result in two forms, from one calculation: as `regions`, prefixes whose longest
match gives an address's segments, and as `segments_of` over those regions. A host's addresses are
all of `policies.semantics.host_addresses`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import (
    ip_address,
)

from policies.model import Adapt, Address, Envelope, Mode, Network, Policy, Selector
from policies.semantics.address_sets import AddressSet, is_network_alone, spans_of
from policies.semantics.host_addresses import HostAddresses, declared_numbers, known_hosts
from policies.semantics.prefix_sets import (
    Changes,
    Span,
    lay_out,
    network_of,
    number_of,
)
from topology.gc_tuning import collection_paused
from topology.records import Binding

_CACHED = 1 << 16


@dataclass(frozen=True, slots=True)
class Region:
    """A prefix whose addresses, where no longer region covers them, are in ``segments``."""

    prefix: Network
    segments: frozenset[str]


class Membership:
    """Segments of addresses under one policy, with the current bindings.

    Immutable: new bindings make a new membership. Building one for 10,000
    dual-stack hosts takes a fraction of a second.
    """

    @collection_paused()
    def __init__(self, policy: Policy, bindings: Sequence[Binding] = ()) -> None:
        self._policy, self._bindings = policy, bindings
        self._owned = declared_numbers(policy)
        self._hosts = known_hosts(policy, bindings, self._owned)
        self._index()
        points: dict[int, set[str]] = defaultdict(set)
        spans: list[tuple[Span, tuple[Span, ...], str]] = []
        named: dict[str, set[str]] = {segment.name: set() for segment in policy.segments}
        for segment in policy.segments:
            for selector in segment.members:
                if is_network_alone(selector):
                    spans.append((*spans_of(selector), segment.name))
                    continue
                for host in self._matching(selector):
                    held = self._held(host, selector)
                    for number in held:
                        points[number].add(segment.name)
                    if held or not host.numbers:
                        named[segment.name].add(host.name)
        self._prefixes = lay_out(points, spans)
        self._named = named
        self._cache: dict[str, frozenset[str]] = {}
        self._protected: tuple[Envelope | None, AddressSet] = (None, AddressSet((), ()))
        self._modes: dict[frozenset[str], Mode] = {}
        self._by_name = {segment.name: segment for segment in policy.segments}
        self._name_by_address()
        self._made_from: tuple[object, Changes] | None = None
        self._identity = object()
        self._seen: set[str] = set()  # for `policies.semantics.membership_update`

    # Segments

    def segments_of(self, address: Address | str) -> frozenset[str]:
        """The segments of an address; empty for one in none. Raises ValueError for text that is no
        address."""
        if not isinstance(address, str):
            return self._prefixes.find(number_of(address))
        found = self._cache.get(address)
        if found is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            found = self._prefixes.find(number_of(ip_address(address)))
            self._cache[address] = found
        return found

    def segments_of_number(self, number: int) -> frozenset[str]:
        """As `segments_of`, for an address as `policies.semantics.prefix_sets.number_of` has it."""
        return self._prefixes.find(number)

    def regions(self) -> tuple[Region, ...]:
        """Prefixes in address order, IPv4 first; the longest that covers an address gives its
        segments, addresses that none covers are in no segment."""
        return tuple(Region(network_of(span), names) for span, names in self._prefixes.regions())

    @property
    def spans(self) -> Mapping[tuple[int, int], frozenset[str]]:
        """The regions, as plain numbers: ``start`` and ``wide`` of
        `policies.semantics.prefix_sets.Span`."""
        return self._prefixes.by_span

    def changes_since(self, before: Membership) -> Changes:
        """The regions that differ from those of ``before``."""
        if before is self:
            return {}
        if self._made_from is not None and self._made_from[0] is before._identity:
            return self._made_from[1]
        old, new = before._prefixes.by_span, self._prefixes.by_span
        changes: Changes = {key: names for key, names in new.items() if old.get(key) != names}
        return changes | dict.fromkeys(old.keys() - new.keys())

    def identities(self) -> frozenset[frozenset[str]]:
        """Every set of segments that some address has, the empty set among them."""
        return frozenset({frozenset[str](), *(names for _, names in self._prefixes.regions())})

    def mode_of(self, segments: frozenset[str]) -> Mode:
        """The strictest mode of some segments; one without a mode, and no segment at all, have the
        default mode."""
        mode = self._modes.get(segments)
        if mode is None:
            default = self._policy.defaults.mode
            modes = (self._by_name[name].mode for name in segments)
            mode = max((default if m is None else m for m in modes), default=default)
            self._modes[segments] = mode
        return mode

    def adapt_of(self, segments: frozenset[str]) -> Adapt:
        """The most cautious ``adapt`` of some segments; where none has one, `Adapt.ALERT`."""
        limits = (self._by_name[name].adapt for name in segments)
        return min((Adapt.ALERT if a is None else a for a in limits), default=Adapt.ALERT)

    # Hosts

    @property
    def bindings(self) -> Sequence[Binding]:
        """The bindings that it was built from."""
        return self._bindings

    @property
    def hosts(self) -> tuple[HostAddresses, ...]:
        """Declared and discovered hosts with all their addresses."""
        return tuple(host for host in self._hosts if host.name)

    def hosts_in(self, segment: str) -> frozenset[str]:
        """Known hosts with an address in the segment: declared ones by name, discovered ones by
        their first address."""
        return frozenset(self._named.get(segment, ()))

    def is_on(self, address: Address, ports: Collection[tuple[int, int]]) -> bool:
        """Whether a known host on one of the ports (switch and number) has the address."""
        number = number_of(address)
        return any(
            number in self._hosts[index].numbers
            for port in ports
            for index in self._by_port.get(port, ())
        )

    def selects_a_host(self, selector: Selector) -> bool:
        """Whether a host matches in all but its network, and inside that if it has addresses."""
        return any(
            not host.numbers or self._held(host, selector) for host in self._matching(selector)
        )

    def addresses_of(self, selector: Selector) -> AddressSet:
        """The addresses that a selector matches."""
        if is_network_alone(selector):
            span, gaps = spans_of(selector)
            inside = [n for h in self._hosts for n in self._held(h, selector) if n in span]
            return AddressSet(inside, [(span, gaps)])
        matched = (n for h in self._matching(selector) for n in self._held(h, selector))
        return AddressSet(matched, ())

    def protected_addresses(self, envelope: Envelope | None) -> AddressSet:
        """The addresses that no machine decision may block; none without an envelope."""
        if envelope is None:
            return AddressSet((), ())
        if envelope is not self._protected[0]:
            found = [self.addresses_of(selector) for selector in envelope.protected]
            self._protected = envelope, AddressSet.union(found)
        return self._protected[1]

    # How it is built

    def _index(self) -> None:
        by_label: dict[tuple[str, str], set[int]] = defaultdict(set)
        by_port: dict[tuple[int, int], set[int]] = defaultdict(set)
        by_mac: dict[str, set[int]] = defaultdict(set)
        by_name: dict[str, int] = {}
        for index, host in enumerate(self._hosts):
            for label in host.labels:
                by_label[label].add(index)
            for port in host.ports:
                by_port[port].add(index)
            if host.declared:
                by_name[host.name] = index
            else:
                by_mac[host.mac].add(index)
        self._by_label, self._by_port, self._by_host = by_label, by_port, by_name
        self._by_mac = by_mac  # of discovered hosts

    def _matching(self, selector: Selector) -> list[HostAddresses]:
        """Hosts that match a selector in everything but its network."""
        sets = [self._by_label.get(label, set()) for label in selector.labels]
        if selector.host is not None:
            sets.append({self._by_host[selector.host]} if selector.host in self._by_host else set())
        if selector.switch is not None and selector.port is not None:
            sets.append(self._by_port.get((selector.switch, selector.port), set()))
        if not sets:
            return []
        return [self._hosts[index] for index in sorted(set.intersection(*sets))]

    def _held(self, host: HostAddresses, selector: Selector) -> tuple[int, ...]:
        """The host's addresses inside the selector's network, all of them where it has none."""
        if selector.cidr is None:
            return host.numbers
        span, gaps = spans_of(selector)
        return tuple(
            number
            for number in host.numbers
            if number in span and not any(number in gap for gap in gaps)
        )

    def _name_by_address(self) -> None:
        """Complete ``hosts_in`` with hosts whose address a network selector covers."""
        for host in self._hosts:
            for number in host.numbers:
                for segment in self._prefixes.find(number):
                    self._named[segment].add(host.name)

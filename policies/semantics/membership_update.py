"""Incremental update of a membership for a slightly different policy or different bindings.

Only hosts that changed are computed again. The result equals ``Membership(policy, bindings)``,
except for the order of hosts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from policies.model import Host, Policy, Segment, Selector
from policies.semantics.address_sets import is_network_alone, spans_of
from policies.semantics.host_addresses import HostAddresses, declared_host, discovered_host
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import address_at, number_at, number_of
from policies.sequence_diff import differences
from topology.addresses import mac_of_link_local
from topology.records import Binding

MANY = 1_000  # changed hosts from which on starting anew is as good
Key = TypeVar("Key", bound=Hashable)
_NONE = HostAddresses("", (), frozenset(), frozenset(), False)  # where a host was


def follow(before: Membership, policy: Policy, bindings: Sequence[Binding]) -> Membership:
    """`Membership` of ``policy`` and ``bindings``, computed from ``before``: fast where they differ
    little.

    Fastest when policies and bindings share most of their objects with those of ``before``.
    """
    old = before._policy
    if policy is old and bindings is before._bindings:
        return before
    if policy.segments != old.segments or policy.defaults != old.defaults:
        return Membership(policy, bindings)
    gone, come = differences(old.hosts, policy.hosts)
    unbound, bound = differences(before._bindings, bindings)
    changed = len(gone) + len(come) + len(unbound) + len(bound)
    left_empty = len(before._hosts) - len(policy.hosts) - len(bindings)
    if max(changed, left_empty) > MANY:
        return Membership(policy, bindings)
    hosts = _Hosts(before, policy, bindings, before._owned, [], [])
    if changed:
        hosts.work_out(gone, come, unbound, bound)
    new = hosts.applied()
    if new._seen:
        new._seen |= _words(come, bound)
    return new


def _words(hosts: Iterable[Host], bindings: Iterable[Binding]) -> set[str]:
    """Names, MACs and addresses in bindings, and the MACs of hosts."""
    words = {host.mac for host in hosts if host.mac is not None}
    for binding in bindings:
        words.add(binding.mac)
        words.add(binding.ip)
        if binding.host is not None:
            words.add(binding.host)
    return words


def _words_for(numbers: Iterable[int]) -> set[str]:
    """What `_words` holds where some binding or host has one of these addresses."""
    texts = {str(address_at(number)) for number in numbers}
    return texts.union(filter(None, map(mac_of_link_local, texts)))


@dataclass(slots=True)
class _Hosts:
    """The known hosts that leave (by their index), and those that come, between two memberships."""

    before: Membership
    policy: Policy
    bindings: Sequence[Binding]
    owned: set[int]
    gone: list[int]
    come: list[HostAddresses]

    def work_out(
        self,
        gone: Sequence[Host],
        come: Sequence[Host],
        unbound: Sequence[Binding],
        bound: Sequence[Binding],
    ) -> None:
        names = {host.name for host in (*gone, *come)}
        texts = {str(address) for host in (*gone, *come) for address in host.ips}
        macs = {binding.mac for binding in (*unbound, *bound)}
        if names:
            self.owned = {*self.owned}
            lost = {address for host in gone for address in host.ips}
            if lost:
                self.owned -= {number_of(address) for address in lost}
                kept = (a for host in self.policy.hosts for a in host.ips if a in lost)
                self.owned |= {number_of(address) for address in kept}
            self.owned |= {number_of(address) for host in come for address in host.ips}
        declared = {host.name: host for host in come}
        for binding in (*unbound, *bound):
            if binding.host is not None and binding.host in self.before._by_host:
                names.add(binding.host)
        own: dict[str, list[Binding]] = {name: [] for name in names}
        found: dict[tuple[str, int, int], list[Binding]] = {}
        left = {host.name for host in gone} - declared.keys()
        # What the policy takes, or gives back, is a discovered host's no longer, or again.
        known: Sequence[Binding] = self.bindings
        if not unbound and self._nobody_has(names | texts | macs):
            known = bound
        if names:
            near = [b for b in known if b.mac in macs or b.host in names or b.ip in texts]
        else:
            near = [b for b in known if b.mac in macs]
        if not macs.issuperset(b.mac for b in near):
            macs.update(b.mac for b in near)
            near = [b for b in self.bindings if b.mac in macs or b.host in names]
        for binding in near:
            if binding.host in own:
                own[binding.host].append(binding)
            if binding.mac in macs and not self._declares(binding.host, left, declared):
                if number_at(binding.ip) not in self.owned:
                    place = (binding.mac, binding.switch, binding.port)
                    found.setdefault(place, []).append(binding)
        before = self.before
        rebound = names - left - declared.keys()
        if rebound:
            declared |= {host.name: host for host in self.policy.hosts if host.name in rebound}
        self.gone += [before._by_host[name] for name in names if name in before._by_host]
        self.gone += [index for mac in macs for index in before._by_mac.get(mac, ())]
        self.come += [declared_host(host, own[name]) for name, host in declared.items()]
        self.come += [discovered_host(each) for each in found.values()]

    def _nobody_has(self, words: set[str]) -> bool:
        """Whether certainly no earlier binding has one of some names, MACs or addresses.

        All that was ever bound is remembered and handed on, as searching every binding takes too
        long.
        """
        if not words:
            return True
        seen = self.before._seen
        if not seen:
            seen |= _words(self.before._policy.hosts, self.before._bindings)
        return seen.isdisjoint(words)

    def _declares(self, name: str | None, left: set[str], declared: Mapping[str, Host]) -> bool:
        return name in declared or (name in self.before._by_host and name not in left)

    def applied(self) -> Membership:
        before, new = self.before, Membership.__new__(Membership)
        new._policy, new._bindings, new._owned = self.policy, self.bindings, self.owned
        new._by_name, new._modes = before._by_name, before._modes
        new._cache, new._identity = {}, object()
        new._seen = before._seen if before._seen else set()  # shared only once it is full
        new._protected = (None, before._protected[1])
        leaving = [before._hosts[index] for index in self.gone]
        self._index(new)
        numbers = {number for host in (*leaving, *self.come) for number in host.numbers}
        apart = numbers.isdisjoint
        among = new._hosts
        if not leaving and apart(before._owned) and self._nobody_has(_words_for(numbers)):
            among = self.come  # addresses that are new to all others
        holders = [host for host in among if not apart(host.numbers)] if numbers else []
        new._prefixes, changed = before._prefixes.with_points(self._segments(new, numbers, holders))
        new._made_from = (before._identity, changed)
        bare = (host for host in self.come if not host.numbers)
        self._name(new, {host.name for host in leaving}, [*holders, *bare])
        return new

    def _index(self, new: Membership) -> None:
        """The hosts and their indexes, with the places of gone hosts left empty."""
        before = self.before
        hosts = new._hosts = list(before._hosts)
        labels, ports = _Index(before._by_label), _Index(before._by_port)
        macs, names = _Index(before._by_mac), dict(before._by_host)
        for place in self.gone:
            host, hosts[place] = hosts[place], _NONE
            for label in host.labels:
                labels.own(label).discard(place)
            for port in host.ports:
                ports.own(port).discard(place)
            if host.declared:
                del names[host.name]
            else:
                macs.own(host.mac).discard(place)
        for place, host in enumerate(self.come, len(hosts)):
            for label in host.labels:
                labels.own(label).add(place)
            for port in host.ports:
                ports.own(port).add(place)
            if host.declared:
                names[host.name] = place
            else:
                macs.own(host.mac).add(place)
        hosts += self.come
        new._by_label, new._by_port, new._by_mac, new._by_host = labels, ports, macs, names

    def _segments(
        self, new: Membership, numbers: set[int], holders: Sequence[HostAddresses]
    ) -> Mapping[int, set[str]]:
        """All segments of some addresses, by the hosts that hold them and by networks."""
        found: dict[int, set[str]] = {number: set() for number in numbers}
        for segment in self.policy.segments:
            for selector in segment.members:
                if is_network_alone(selector):
                    span, gaps = spans_of(selector)
                    for number in numbers:
                        if number in span and not any(number in gap for gap in gaps):
                            found[number].add(segment.name)
                    continue
                for host in holders:
                    if _fits(host, selector):
                        for number in numbers.intersection(new._held(host, selector)):
                            found[number].add(segment.name)
        return found

    def _name(self, new: Membership, gone: set[str], hosts: Sequence[HostAddresses]) -> None:
        """`hosts_in` with those hosts named anew that came, or share an address with a change."""
        leaving = gone | {host.name for host in hosts}
        joining = {
            segment.name: {host.name for host in hosts if _selected(new, host, segment)}
            for segment in self.policy.segments
        }
        for host in hosts:
            for number in host.numbers:
                for name in new._prefixes.find(number):
                    joining[name].add(host.name)
        named = new._named = dict(self.before._named)
        for name, names in joining.items():
            if names or not leaving.isdisjoint(named[name]):
                named[name] = (named[name] - leaving) | names


class _Index(dict[Key, set[int]]):
    """A copy of an index that copies a set only when it is to be changed."""

    def __init__(self, before: Mapping[Key, set[int]]) -> None:
        super().__init__(before)
        self._own: set[Key] = set()

    def own(self, key: Key) -> set[int]:
        if key not in self._own:
            self._own.add(key)
            self[key] = set(self.get(key, ()))
        return self[key]


def _selected(new: Membership, host: HostAddresses, segment: Segment) -> bool:
    return any(
        _fits(host, selector) and (not host.numbers or bool(new._held(host, selector)))
        for selector in segment.members
        if not is_network_alone(selector)
    )


def _fits(host: HostAddresses, selector: Selector) -> bool:
    """Whether a host matches a selector in everything but its network."""
    if not (selector.labels or selector.host or selector.switch):
        return False
    return (
        host.labels.issuperset(selector.labels)
        and (selector.host is None or (host.declared and selector.host == host.name))
        and (selector.switch is None or (selector.switch, selector.port) in host.ports)
    )

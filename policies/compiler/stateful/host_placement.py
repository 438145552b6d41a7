"""Host placement: the rules that follow from bindings, updated incrementally.

Every switch holds the location of every host in the same rules (owner switch
and port, in registers), so that a changed link changes only the few rules of
the forward table.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter
from zlib import crc32

from policies.compiler.common.bindings import AddressOnPort, places_of
from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.port_guard import guard_rules
from policies.compiler.common.requests import allowed, owner_rule
from policies.compiler.stateful.layouts import GUARD, REQUESTS, owner_fields
from policies.compiler.stateful.stations import client_rules
from policies.compiler.stateful.vlan_tagging import TAGGED_GUARD, Tags, tagged
from policies.model import Infrastructure
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, cookie
from policies.rules.rule import Field, Goto, Load, Output, OutputRegister, Rule, RuleAction
from topology.records import Binding

Here = tuple[int, int]  # switch and port


class Placement:
    """What hosts may send on their own switch, and on every switch the way to them.

    Where a MAC or an address is bound twice, the way leads to the first by
    switch and port.
    """

    def __init__(
        self, bindings: Iterable[Binding], infrastructure: Infrastructure, tags: Tags | None = None
    ) -> None:
        self._infrastructure, self._tags = infrastructure, tags or {}
        # How many bindings want a place: a MAC's link-local address is wanted by each of them.
        self._wanted: dict[AddressOnPort, int] = {}
        for place in places_of(bindings):
            self._wanted[place] = self._wanted.get(place, 0) + 1
        self._macs: dict[int, Here] = {}
        self._owners: dict[int, Here] = {}
        self._by_switch: dict[int, list[AddressOnPort]] = {}
        for place in sorted(self._wanted):
            here = (place.switch, place.port)
            self._macs.setdefault(place.mac, here)
            self._owners.setdefault(place.number, here)
            self._by_switch.setdefault(place.switch, []).append(place)
        self._ways = {mac: self._way(mac) for mac in self._macs}
        self._finds = {number: self._find(number) for number in self._owners}
        self._guards: dict[int, dict[AddressOnPort, tuple[Rule, ...]]] = {}

    def common(self) -> Iterator[Rule]:
        """The ways to all hosts, the same on every switch."""
        yield from (self._ways[mac] for mac in sorted(self._ways))
        yield from chain.from_iterable(self._finds[number] for number in sorted(self._finds))

    def guards(self, switch: int) -> Iterator[Rule]:
        """What the hosts on a switch may send."""
        guards = self._guards.get(switch)
        if guards is None:
            guards = self._guards[switch] = self._guard(self._by_switch.get(switch, ()))
        return chain.from_iterable(guards[place] for place in sorted(guards))

    def guarded(self) -> frozenset[int]:
        """The switches that have been asked for."""
        return frozenset(self._guards)

    def change(
        self, gone: Iterable[Binding], come: Iterable[Binding]
    ) -> tuple[RuleChange, dict[int, RuleChange]]:
        """Follow bindings: what changes on every switch, and on those of the hosts."""
        left, new = self._count(gone, come)
        touched: dict[int, set[AddressOnPort]] = {}  # all places of hosts that got or lost one
        before: dict[int, list[Rule]] = {}
        hosts = {place[:3] for place in (*left, *new)}
        for switch in {host[0] for host in hosts}:
            own = [host for host in hosts if host[0] == switch]
            known = self._by_switch.setdefault(switch, [])
            guards = self._guards.get(switch)
            held = {place for host in own for place in _held(known, host)}
            removed = self._guard(sorted(held)) if guards is None else guards
            before[switch] = [rule for place in held for rule in removed[place]]
            touched[switch] = held
        for place in left:
            known = self._by_switch[place.switch]
            del known[bisect_left(known, place)]
            touched[place.switch].discard(place)
            self._guards.get(place.switch, {}).pop(place, None)
        for place in new:
            insort(self._by_switch[place.switch], place)
            touched[place.switch].add(place)
        single: dict[int, RuleChange] = {}
        for switch, held in touched.items():
            fresh = self._guard(sorted(held))
            if switch in self._guards:
                self._guards[switch].update(fresh)
            single[switch] = change_between(before[switch], chain.from_iterable(fresh.values()))
        return self._lead(left, new), single

    def _count(
        self, gone: Iterable[Binding], come: Iterable[Binding]
    ) -> tuple[list[AddressOnPort], list[AddressOnPort]]:
        """The places that are no longer needed, and those newly needed."""
        before: dict[AddressOnPort, int] = {}
        for step, bindings in ((1, come), (-1, gone)):
            for place in places_of(bindings):
                count = self._wanted.get(place, 0)
                before.setdefault(place, count)
                self._wanted[place] = count + step
        left = [place for place, count in before.items() if count and not self._wanted[place]]
        new = [place for place, count in before.items() if not count and self._wanted[place]]
        for place in [place for place in before if not self._wanted[place]]:
            del self._wanted[place]
        return left, new

    def _lead(self, left: Sequence[AddressOnPort], new: Sequence[AddressOnPort]) -> RuleChange:
        """The ways to places that came or went."""
        macs = {place.mac for place in left}
        numbers = {place.number for place in left}
        near = list(new)
        if left:
            near += [p for p in self._wanted if p.mac in macs or p.number in numbers]
        macs.update(place.mac for place in new)
        numbers.update(place.number for place in new)
        before = [*self._led(macs, numbers)]
        for place in left:
            self._macs.pop(place.mac, None)
            self._owners.pop(place.number, None)
        for place in near:
            here = (place.switch, place.port)
            self._macs[place.mac] = min(self._macs.get(place.mac, here), here)
            self._owners[place.number] = min(self._owners.get(place.number, here), here)
        for mac in macs:
            if mac in self._macs:
                self._ways[mac] = self._way(mac)
            else:
                del self._ways[mac]
        for number in numbers:
            if number in self._owners:
                self._finds[number] = self._find(number)
            else:
                del self._finds[number]
        return change_between(before, self._led(macs, numbers))

    def _led(self, macs: Iterable[int], numbers: Iterable[int]) -> Iterator[Rule]:
        yield from (self._ways[mac] for mac in macs if mac in self._ways)
        for number in numbers:
            yield from self._finds.get(number, ())

    def _way(self, mac: int) -> Rule:
        here = self._macs[mac]
        return way_rule(mac, *here, self._tags.get((*here, mac), 0) if self._tags else 0)

    def _tag_of(self, number: int) -> int | None:
        """The VLAN of the host that has an address, 0 where frames to it have no tag; None where
        no frames have."""
        if not self._tags:
            return None
        here = self._owners[number]
        macs = (p.mac for p in self._by_switch[here[0]] if (p.port, p.number) == (here[1], number))
        return next((self._tags.get((*here, mac), 0) for mac in macs), 0)

    def _find(self, number: int) -> tuple[Rule, ...]:
        if not allowed(self._infrastructure, number):
            return ()
        return (find_rule(number, *self._owners[number], self._tag_of(number)),)

    def _guard(self, places: Iterable[AddressOnPort]) -> dict[AddressOnPort, tuple[Rule, ...]]:
        """``places`` are sorted, and hold every address of a host or none."""
        guards: dict[AddressOnPort, tuple[Rule, ...]] = {}
        infrastructure = self._infrastructure
        for (switch, port, mac), own in groupby(places, key=_HOST):
            numbers = [place.number for place in own]
            vlan = self._tags.get((switch, port, mac)) if self._tags else None
            guard = GUARD if vlan is None else TAGGED_GUARD
            for number, rules in guard_rules(port, mac, numbers, infrastructure, guard):
                guards[AddressOnPort(switch, port, mac, number)] = rules
            # The last address is IPv6: every MAC has one of its own.
            guards[AddressOnPort(switch, port, mac, number)] = (
                *rules,
                *client_rules(port, mac, infrastructure, guard.admit),
            )
            for number in numbers if vlan is not None else ():
                place = AddressOnPort(switch, port, mac, number)
                guards[place] = tagged(guards[place], vlan or 0)
        return guards


_HOST = itemgetter(0, 1, 2)


def _held(places: Sequence[AddressOnPort], host: tuple[int, ...]) -> Sequence[AddressOnPort]:
    """The places of one host among sorted ones."""
    return places[bisect_left(places, host) : bisect_left(places, (*host[:2], host[2] + 1))]


_FORWARD = cookie(Category.FORWARD)


@lru_cache(maxsize=1 << 17)
def _found(
    switch: int, port: int, following: RuleTable, vlan: int | None = None
) -> tuple[RuleAction, ...]:
    tag = () if vlan is None else (Load(layout.VLAN, vlan),)
    return (Load(layout.OWNER, switch), Load(layout.OWNER_PORT, port), *tag, Goto(following))


def way_rule(mac: int, switch: int, port: int, vlan: int = 0) -> Rule:
    """Where the host with this MAC is, and the tag it wants there."""
    number = crc32(mac.to_bytes(6, "big"))
    fields = (Field("eth_dst", mac),)
    return Rule(
        RuleTable.LOCALITY,
        100,
        fields,
        _found(switch, port, RuleTable.ARP, vlan or None),
        _FORWARD | number,
    )


def find_rule(number: int, switch: int, port: int, vlan: int | None = None) -> Rule:
    """A request for this address goes to its owner's port alone, also with the controller down.

    ``vlan`` is 0 for an owner without a tag where other hosts have some: the frame may be
    addressed to one of them.
    """
    return owner_rule(REQUESTS, number, _found(switch, port, RuleTable.FORWARD, vlan))


def local_rules(switch: int, next_ports: Mapping[int, int]) -> Iterator[Rule]:
    """The way to the hosts of every switch that can be reached; to the others there is none."""
    yield Rule(
        RuleTable.FORWARD, 100, owner_fields(switch), (OutputRegister(layout.OWNER_PORT),), _FORWARD
    )
    for other in sorted(next_ports):
        out = (Output(next_ports[other]),)
        yield Rule(RuleTable.FORWARD, 100, owner_fields(other), out, _FORWARD)

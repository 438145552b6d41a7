"""A compiled policy that can be asked for a switch's rules, and changed piece by piece.

Rules are kept by what they follow from: a host's place, a prefix, an intent.
What is the same on every switch is made once and shared. `Compiler.update`
answers a change with exactly the rules that come and go, without looking at
what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any

from policies.compiler.aggregate import Aggregate
from policies.compiler.base import base_rules, common_rules, port_rules
from policies.compiler.hosts import (
    Place,
    find_rule,
    guard_rules,
    local_rules,
    own_link_local,
    place_of,
    request_rules,
    way_rule,
)
from policies.compiler.identity import IdentityRules, codes_apart, named_segments
from policies.compiler.levels import Levels
from policies.compiler.overlaps import Overlaps
from policies.compiler.pause import collection_paused
from policies.compiler.tiers import (
    default_rule,
    intent_numbers,
    intent_rules,
    restriction_rules,
    timeout_at,
)
from policies.layout import Table
from policies.membership import Membership
from policies.model import Action, Policy, Restriction
from policies.regions import SIX
from policies.rules import Rule
from topology.records import Binding


@dataclass(frozen=True, slots=True)
class SwitchView:
    """One switch as the fabric sees it.

    ``trunks`` are ports to other switches, ``next_ports`` the port towards each
    of them; every other port in ``ports`` is an edge port, where hosts are.
    """

    switch: int
    ports: tuple[int, ...] = ()
    trunks: frozenset[int] = frozenset()
    next_ports: Mapping[int, int] = field(default_factory=dict)


class Compiler:
    """The rules of all switches under one policy, with the hosts of the moment.

    Raises CompileError for a policy that the tables cannot hold. ``update``
    leaves the compiler unusable when it raises: make another one.
    """

    @collection_paused()
    def __init__(
        self, policy: Policy, membership: Membership, bindings: Sequence[Binding], now: float
    ) -> None:
        intent_numbers(policy)
        self._policy, self._membership, self._bindings = policy, membership, bindings
        self._infrastructure = policy.defaults.infrastructure
        self._tables: dict[int, list[Rule]] | None = None
        self._place(bindings)
        self._identify(membership)
        self._decide(policy, now)

    # -- everything, from nothing ------------------------------------------------------------

    def _place(self, bindings: Iterable[Binding]) -> None:
        self._places = _count_places(bindings)
        owners: dict[int, tuple[int, int]] = {}
        ways: dict[int, tuple[int, int]] = {}
        self._by_switch: dict[int, list[Place]] = {}
        for place in sorted(self._places):
            self._by_switch.setdefault(place.switch, []).append(place)
            here = (place.switch, place.port)
            ways.setdefault(place.mac, here)
            owners.setdefault(place.number, here)
        self._owners, self._macs = owners, ways
        self._ways = {mac: (way_rule(mac, *here),) for mac, here in ways.items()}
        self._finds = {number: self._find(number) for number in owners}
        self._guards: dict[int, dict[Place, tuple[Rule, ...]]] = {}

    def _find(self, number: int) -> tuple[Rule, ...]:
        infra = self._infrastructure
        if (infra.arp if number < SIX else infra.nd) is not Action.ALLOW:
            return ()
        return (find_rule(number, *self._owners[number]),)

    def _identify(self, membership: Membership) -> None:
        self._named = named_segments(self._policy)
        self._overlaps = Overlaps(membership.spans.values())
        self._codes = codes_apart(self._named, self._overlaps.together)
        self._prefixes = Aggregate(membership.spans.items())
        self._identity = IdentityRules(self._codes, membership.mode_of)
        self._identities = {
            prefix: self._identity.prefix(prefix, segments)
            for prefix, segments in self._prefixes.kept()
        }

    def _decide(self, policy: Policy, now: float) -> None:
        self._timeouts = _timeouts(policy, now)
        self._intents = {i.name: i for i in policy.intents if i.name in self._timeouts}
        self._levels = Levels(self._overlaps.together)
        self._levels.change((), self._intents.values())
        self._intended = {name: self._intent(name) for name in self._intents}

    def _intent(self, name: str) -> tuple[Rule, ...]:
        intent = self._intents[name]
        level = self._levels.of[name]
        return tuple(intent_rules(intent, level, self._codes, self._timeouts[name]))

    # -- a switch's rules ---------------------------------------------------------------------

    @collection_paused()
    def rules(
        self, view: SwitchView, now: float = 0.0, restrictions: Sequence[Restriction] = ()
    ) -> tuple[Rule, ...]:
        """All rules of one switch, by table and then priority, highest first.

        ``restrictions`` are the machine decisions that hold at ``now``.
        """
        tables = dict(self._common())
        guards = list(self._guard_rules(view.switch))
        own = _by_table(chain(view_rules(view), restriction_rules(restrictions, now)))
        own[Table.GUARD] = _ordered([*own[Table.GUARD], *guards])
        for table, rules in own.items():
            known = tables.get(table)
            tables[table] = rules if known is None else _ordered([*known, *rules])
        return tuple(chain.from_iterable(tables[table] for table in sorted(tables)))

    def _common(self) -> dict[int, list[Rule]]:
        """The rules that every switch has."""
        if self._tables is None:
            self._tables = _by_table(
                chain(
                    common_rules(),
                    request_rules(self._infrastructure),
                    _chained(self._ways),
                    _chained(self._finds),
                    self._identity.default(),
                    _chained(self._identities),
                    _chained(self._intended),
                    (default_rule(self._policy.defaults.action),),
                )
            )
        return self._tables

    def _guard_rules(self, switch: int) -> Iterator[Rule]:
        guards = self._guards.get(switch)
        if guards is None:
            guards = self._guards[switch] = self._guarded(self._by_switch.get(switch, ()))
        return _chained(guards)

    def _guarded(self, places: Iterable[Place]) -> dict[Place, tuple[Rule, ...]]:
        """``places`` are sorted, so that the addresses of one host stand together."""
        return {
            Place(switch, port, mac, number): rules
            for (switch, port, mac), own in groupby(places, key=lambda place: place[:3])
            for number, rules in guard_rules(
                port, mac, (place.number for place in own), self._infrastructure
            )
        }


def view_rules(view: SwitchView) -> Iterator[Rule]:
    """The rules that follow from a switch's number, its ports and the links alone."""
    yield from base_rules(view.switch)
    yield from port_rules(view.ports, view.trunks)
    yield from local_rules(view.switch, view.next_ports)


def _chained(rules: Mapping[Any, tuple[Rule, ...]]) -> Iterator[Rule]:
    """By what the rules follow from, in its order: the same policy gives the same rules."""
    return chain.from_iterable(rules[key] for key in sorted(rules))


def _count_places(bindings: Iterable[Binding]) -> dict[Place, int]:
    """Places with how many bindings want them: a MAC's link-local address is wanted by each."""
    places: dict[Place, int] = {}
    for binding in bindings:
        place = place_of(binding)
        for each in (place, own_link_local(place)):
            places[each] = places.get(each, 0) + 1
    return places


def _timeouts(policy: Policy, now: float) -> dict[str, int]:
    """Seconds that the switch itself gives the rules of every living intent, 0 for ever."""
    found = ((intent.name, timeout_at(intent, now)) for intent in policy.intents)
    return {name: timeout for name, timeout in found if timeout is not None}


def _by_table(rules: Iterable[Rule]) -> dict[int, list[Rule]]:
    tables: dict[int, list[Rule]] = {}
    for rule in rules:
        table = tables.get(rule.table)
        if table is None:
            tables[rule.table] = [rule]
        else:
            table.append(rule)
    return {table: _ordered(listed) for table, listed in tables.items()}


def _ordered(rules: list[Rule]) -> list[Rule]:
    """Highest priority first; rules of one priority stay as they are."""
    return sorted(rules, key=_priority, reverse=True)


def _priority(rule: Rule) -> int:
    return rule.priority

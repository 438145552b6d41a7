"""A compiled policy: the rules of every switch, updated incrementally. Rules are stored by what
they follow from: a host's location, a prefix, an intent. Rules that are the same on every switch
are made once and shared. `Compiler.update` returns exactly the rules added and removed by a change,
without visiting the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from policies.compiler.common.changes import RuleChange, Update, change_between
from policies.compiler.common.identity_codes import Ends, ends_of
from policies.compiler.common.intent_rules import intent_numbers
from policies.compiler.common.refusals import refuse_shared
from policies.compiler.common.requests import request_rules
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.stateful.adaptive import protected_rules, restriction_rules
from policies.compiler.stateful.base import base_rules, common_rules, helper_commits, port_rules
from policies.compiler.stateful.connection import Helpers, helper_rules
from policies.compiler.stateful.host_placement import Placement, local_rules
from policies.compiler.stateful.identities import Identities
from policies.compiler.stateful.intents import Intents
from policies.compiler.stateful.layouts import REQUESTS
from policies.compiler.stateful.retained import kept_rules
from policies.compiler.stateful.routers import Routers
from policies.compiler.stateful.special_hosts import SpecialHosts, is_special
from policies.compiler.stateful.stations import (
    Stations,
    flood_rules,
    multicast_rules,
    snooping_rules,
)
from policies.compiler.stateful.vlan_tagging import tag_rules, tagged_rules, tags_of
from policies.model import Intent, Policy, Restriction
from policies.rules.layout import RuleTable
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.semantics.retained_intents import resolved
from policies.sequence_diff import differences
from topology.gc_tuning import collection_paused
from topology.records import Binding


class Compiler:
    """The rules of all switches under one policy, with the hosts of the moment.

    Raises CompileError for a policy that the tables cannot hold. After an
    exception in `update`, discard this instance.
    """

    @collection_paused()
    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        bindings: Sequence[Binding],
        now: float,
        kept: Sequence[Intent] = (),
    ) -> None:
        intent_numbers(policy)
        refuse_shared(policy.hosts)
        self._policy, self._bindings = policy, bindings
        self._ends = _ends(policy, kept)
        self._tags = tags_of(policy.hosts, bindings)
        self._placement = Placement(bindings, policy.defaults.infrastructure, self._tags)
        self._special = SpecialHosts(policy.hosts, bindings)
        self._routers = Routers(self._special, bindings)
        self._stations = Stations(self._special, policy.defaults.infrastructure)
        self._identities = Identities(self._ends, membership)
        codes, together = self._identities.codes, self._identities.together
        self._intents = Intents(policy, codes, together, now)
        self._protected = _protected(policy, membership)
        self._kept = kept
        self._kept_rules = self._keeping()
        self._helpers = Helpers.of(policy.intents)
        self._tables: dict[int, list[Rule]] | None = None

    @collection_paused()
    def rules(
        self,
        view: SwitchView,
        now: float = 0.0,
        restrictions: Sequence[Restriction] = (),
        beside: Iterable[Rule] = (),
    ) -> tuple[Rule, ...]:
        """All rules of one switch, by table and then priority, highest first.

        ``restrictions`` are the machine decisions that hold at ``now``, ``beside``
        rules that follow from something else than the policy: what feeds list.
        """
        if self._tables is None:
            self._tables = _by_table(self._common())
        tables = dict(self._tables)
        special = chain(
            self._routers.rules(view.switch),
            self._stations.rules(view.switch),
            tagged_rules(self._tags, view.switch),
            helper_commits(view.switch, self._helpers.ports),
        )
        held = restriction_rules(restrictions, now, view.switch)
        own = _by_table(chain(view_rules(view), special, held, beside))
        guards = self._placement.guards(view.switch)
        own[RuleTable.GUARD] = _ordered([*own.get(RuleTable.GUARD, ()), *guards])
        for table, rules in own.items():
            known = tables.get(table)
            tables[table] = rules if known is None else _ordered([*known, *rules])
        return tuple(chain.from_iterable(tables[table] for table in sorted(tables)))

    @collection_paused()
    def update(
        self,
        policy: Policy,
        membership: Membership,
        bindings: Sequence[Binding],
        now: float,
        kept: Sequence[Intent] = (),
    ) -> Update:
        """Update to another policy, other bindings or only another time; returns the changes of
        rules. Fast where little changed and the rest are identical objects. Changed segments or
        defaults are compiled in full and compared.
        """
        old = self._policy
        if policy.segments != old.segments or policy.defaults != old.defaults:
            return self._anew(policy, membership, bindings, now, kept)
        left, new = differences(old.hosts, policy.hosts)
        if self._tags or any(host.vlan for host in new):
            refuse_shared(policy.hosts)
            if tags_of(policy.hosts, bindings) != self._tags:
                return self._anew(policy, membership, bindings, now, kept)
        if policy.intents is not old.intents or kept != self._kept:
            if Helpers.of(policy.intents) != self._helpers:
                return self._anew(policy, membership, bindings, now, kept)
            intent_numbers(policy)
            self._ends = _ends(policy, kept)
        gone, come = differences(self._bindings, bindings)
        placed, single = self._placement.change(gone, come)
        other = any(is_special(host) for host in (*left, *new))
        served, more = self._special_hosts(policy, bindings, gone, come, other)
        for switch, change in more:
            single[switch] = single[switch] + change if switch in single else change
        identities = self._identities.change(self._ends, membership)
        intents = self._intents.change(policy, self._identities.codes, identities, now)
        self._policy, self._bindings = policy, bindings
        protected = _protected(policy, membership)
        everywhere = placed + served + identities.rules + intents
        if protected != self._protected:
            everywhere += change_between(self._protected, protected)
            self._protected = protected
        self._kept = kept
        keeping = self._keeping() if kept else ()
        if keeping != self._kept_rules:
            everywhere += change_between(self._kept_rules, keeping)
            self._kept_rules = keeping
        if everywhere:
            self._tables = None
        return Update(everywhere, single)

    def _anew(
        self,
        policy: Policy,
        membership: Membership,
        bindings: Sequence[Binding],
        now: float,
        kept: Sequence[Intent],
    ) -> Update:
        new = Compiler(policy, membership, bindings, now, kept)
        single = {
            switch: change_between(self._single(switch), new._single(switch))
            for switch in self._placement.guarded()
        }
        everywhere = change_between(self._common(), new._common())
        self._policy, self._bindings, self._ends = policy, bindings, new._ends
        self._placement, self._special = new._placement, new._special
        self._tags = new._tags
        self._routers, self._stations = new._routers, new._stations
        self._identities, self._intents = new._identities, new._intents
        self._protected = new._protected
        self._kept, self._kept_rules = kept, new._kept_rules
        self._helpers = new._helpers
        self._tables = None
        return Update(everywhere, single)

    def _special_hosts(
        self,
        policy: Policy,
        bindings: Sequence[Binding],
        gone: Sequence[Binding],
        come: Sequence[Binding],
        other: bool,
    ) -> tuple[RuleChange, list[tuple[int, RuleChange]]]:
        """What routers and servers change, everywhere and on single switches."""
        if not self._special.follow(policy.hosts, bindings, (*gone, *come), other):
            lent = self._routers.lend(gone, come)
            return RuleChange(), [each for each in lent.items() if each[1]]
        common, stations = self._stations.change(self._special)
        routers = self._routers.change(self._special, bindings)
        both = chain(stations.items(), routers.items())
        return common, [each for each in both if each[1]]

    def _single(self, switch: int) -> Iterator[Rule]:
        """What the hosts, routers and servers on a switch may send, and where servers are."""
        yield from self._placement.guards(switch)
        yield from self._routers.rules(switch)
        yield from self._stations.rules(switch)
        yield from tagged_rules(self._tags, switch)
        yield from helper_commits(switch, self._helpers.ports)

    def _common(self) -> Iterator[Rule]:
        """The rules that every switch has."""
        yield from common_rules()
        yield from tag_rules()
        yield from request_rules(REQUESTS, self._policy.defaults.infrastructure)
        yield from snooping_rules()
        yield from multicast_rules(self._policy.defaults.infrastructure)
        yield from self._stations.common()
        yield from self._placement.common()
        yield from self._identities.rules()
        yield from self._intents.rules()
        yield from self._protected
        yield from self._kept_rules
        yield from helper_rules(self._helpers)

    def _keeping(self) -> tuple[Rule, ...]:
        living = self._intents.living
        return tuple(kept_rules(self._kept, self._policy, self._identities.codes, living))


def _ends(policy: Policy, kept: Sequence[Intent]) -> Ends:
    """The ends that intents name, in force or kept."""
    segments = [segment.name for segment in policy.segments] if kept else ()
    return ends_of([*policy.intents, *(resolved(intent, segments) for intent in kept)])


def _protected(policy: Policy, membership: Membership) -> tuple[Rule, ...]:
    addresses = membership.protected_addresses(policy.envelope)
    return tuple(protected_rules(addresses.prefixes()))


def view_rules(view: SwitchView) -> Iterator[Rule]:
    """The rules that follow from a switch's number, its ports and the links alone."""
    yield from base_rules(view.switch)
    yield from port_rules(view.ports, view.trunks)
    tree = view.trunks if view.tree is None else view.tree
    yield from flood_rules(set(view.ports) - view.trunks, view.trunks, tree)
    yield from local_rules(view.switch, view.next_ports)


def view_change(before: SwitchView, after: SwitchView) -> RuleChange:
    """The change in a switch's `view_rules`: only ports with another role, and paths."""

    def ports(view: SwitchView, only: set[int]) -> Iterator[Rule]:
        yield from port_rules(
            tuple(port for port in view.ports if port in only), view.trunks & only
        )

    def ways(view: SwitchView) -> Iterator[Rule]:
        yield from local_rules(view.switch, view.next_ports)
        tree = view.trunks if view.tree is None else view.tree
        yield from flood_rules(set(view.ports) - view.trunks, view.trunks, tree)

    moved = {*before.ports, *before.trunks} ^ {*after.ports, *after.trunks}
    moved |= before.trunks ^ after.trunks
    change = change_between(ways(before), ways(after))
    if moved:
        change += change_between(ports(before, moved), ports(after, moved))
    return change


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

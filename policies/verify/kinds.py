"""Kinds of ports: what rules and policy treat alike.

A kind is a signature: all rules that name a value, with the value's own port, MAC and addresses
written as such. `policies.verify.targets` has the kinds of targets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from policies.rules.fields import IPV4_FIELDS, IPV6_FIELDS, MAC_FIELDS
from policies.rules.layout import connection_meter
from policies.rules.rule import CopyToController, RuleAction, UseMeter
from policies.semantics.prefix_sets import SIX
from policies.verify.expect import Expectation
from policies.verify.index import TableIndex
from policies.verify.wildcard_rules import LARGE, Loose, is_anchored

Signature = tuple[object, ...]


class Numbering:
    """Small numbers for equal things, the same for as long as this lives."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._actions: dict[int, tuple[int, bool, tuple[RuleAction, ...]]] = {}

    def number(self, thing: object) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))

    def actions(self, actions: tuple[RuleAction, ...]) -> tuple[int, bool]:
        """The number of some actions, and whether they name a port's meter."""
        known = self._actions.get(id(actions))
        if known is None:
            copies = any(type(action) in (CopyToController, UseMeter) for action in actions)
            # The actions are kept, so that no others get their id.
            known = self._actions[id(actions)] = (self.number(actions), copies, actions)
        return known[0], known[1]


class Ports:
    """The kinds of one switch's ports."""

    def __init__(
        self,
        tables: Mapping[int, TableIndex],
        expectation: Expectation,
        loose: Loose,
        alike: Numbering,
    ) -> None:
        self._groups = [
            (table, shape, group)
            for table, index in tables.items()
            if table not in LARGE
            for shape, group in index.groups.items()
            if is_anchored(group) and any(name == "in_port" for name, _ in group.big)
        ]
        self._view = expectation.view
        self._places, self._loose = expectation.places, loose
        self._alike = alike
        self.borrowed: dict[int, dict[str, set[int]]] = {}

    def signatures(self, only: Collection[int] | None = None) -> dict[int, Signature]:
        """The kind of every port that the switch has or a rule names, or only of some.

        Left out are declared ports that the switch does not have: rules wait there for a port by
        which nothing can come yet. Once it is there, the view is another, to be proven anew.

        ``borrowed`` afterwards holds the values in each port's rules that are not its own.
        """
        found: dict[int, list[object]] = {
            port: []
            for port in (*self._view.ports, *self._view.trunks)
            if only is None or port in only
        }
        symbols = {port: self._symbols(port) for port in found}
        for table, shape, group in self._groups:
            number = self._alike.number((table, shape))
            names = [name for name, _ in group.big]
            at = names.index("in_port")
            others = [
                (index, name in MAC_FIELDS, SIX if name in IPV6_FIELDS else 0)
                for index, name in enumerate(names)
                if index != at
            ]
            own_tag = names.index("eth_src") if {"eth_src", "vlan_vid"} <= set(names) else None
            for key, rule in group.rules.items():
                port = key[at]
                if only is not None and port not in only:
                    continue
                known = symbols.get(port)
                if known is None and (self._view.switch, port) in self._places.held:
                    continue
                if known is None:
                    known = symbols[port] = self._symbols(port)
                    found[port] = []
                macs, numbers = known
                said: list[object] = [number, rule.priority, self._actions(rule.actions, port)]
                said.append(rule.cookie >> 48)
                for index, is_mac, six in others:
                    value = key[index]
                    symbol = (macs if is_mac else numbers).get(value | six, value)
                    if own_tag is not None and names[index] == "vlan_vid":
                        symbol = self._tag(port, key[own_tag], value)
                    if symbol is value and value:
                        borrowed = self.borrowed.setdefault(port, {})
                        borrowed.setdefault(names[index], set()).add(value)
                    said.append(symbol)
                if group.mask:
                    said.append(key[-1])
                found[port].append(tuple(said))
        return {port: (self._role(port), frozenset(rules)) for port, rules in found.items()}

    def _tag(self, port: int, mac: int, value: int) -> object:
        own = self._places.tags.get((self._view.switch, port, mac))
        return "tag" if value == own else value

    def _actions(self, actions: tuple[RuleAction, ...], port: int) -> object:
        number, copies = self._alike.actions(actions)
        if not copies:
            return number
        return tuple(
            ("own", action.max_len)
            if isinstance(action, CopyToController) and action.meter == port
            else "own"
            if action == UseMeter(connection_meter(port))
            else action
            for action in actions
        )

    def _symbols(self, port: int) -> tuple[dict[int, object], dict[int, object]]:
        """The port's own MACs and addresses, by their position."""
        macs: dict[int, object] = {}
        numbers: dict[int, object] = {}
        own = self._places.held.get((self._view.switch, port), {})
        for mac in sorted(own):
            macs[mac] = ("mac", len(macs))
            for number in sorted(own[mac]):
                numbers[number] = ("address", len(numbers))
        return macs, numbers

    def _role(self, port: int) -> object:
        own = self._places.held.get((self._view.switch, port), {})
        sizes = tuple(
            (sum(number < SIX for number in own[mac]), len(own[mac])) for mac in sorted(own)
        )
        routers = self._places.routers
        marks: object = ()
        if self._loose.values:
            marks = tuple(
                tuple(self._loose.marks("eth_src", mac) + self._loose.marks("eth_dst", mac))
                for mac in sorted(own)
            )
            for name in (*IPV4_FIELDS, *IPV6_FIELDS):
                if name in self._loose.values:
                    numbers = (each & ~SIX for mac in sorted(own) for each in sorted(own[mac]))
                    marks = (marks, tuple(self._loose.marks(name, each) for each in numbers))
        view, here = self._view, self._view.switch
        does = tuple(
            (
                tuple((host.routed, host.routes) for host in routers.get((here, port, mac), ())),
                frozenset(self._places.serves.get((here, port, mac), ())),
                self._places.tags.get((here, port, mac)),
            )
            for mac in sorted(own)
        )
        return (
            port in view.trunks,
            port in view.ports,
            port in (view.trunks if view.tree is None else view.tree),
            sizes,
            does,
            marks,
            self._loose.marks("in_port", port),
        )

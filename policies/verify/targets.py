"""Kinds of targets: MACs, and addresses that are asked for, that rules and policy treat alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policies.rules import layout
from policies.rules.fields import IPV6_FIELDS
from policies.rules.rule import Load, Output, Rule, RuleAction
from policies.semantics.prefix_sets import SIX
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.index import TableIndex, bits_mask
from policies.verify.kinds import Signature
from policies.verify.owners import Owners
from policies.verify.wildcard_rules import ANCHORS, LARGE, Loose, target_of

# What the policy says of a target that is nobody's: its tag, and what it serves.
NOTHING_SAID: object = (0, frozenset())


class Targets:
    """The kinds of targets: MACs, and addresses that are asked for.

    The rules that name them are usually the same on every switch; then this is shared.
    """

    def __init__(
        self, tables: Mapping[int, TableIndex], places: AttachmentPoints, loose: Loose
    ) -> None:
        self._places, self._loose = places, loose
        self.kinds: dict[str, dict[Signature, list[int]]] = {}
        self._said: dict[tuple[int, tuple[int, int] | None], object] = {}
        self._tables = tables
        self._kept: list[tuple[RuleAction, ...]] = []
        for name in ANCHORS:
            known: Iterable[int] = places.macs if name == "eth_dst" else _addresses(places, name)
            kinds: dict[Signature, list[int]] = {}
            self.kinds[name] = kinds
            for value, signature in self.signatures(name, known, True).items():
                kinds.setdefault(signature, []).append(value)

    def signatures(
        self, name: str, values: Iterable[int], others: bool = False
    ) -> dict[int, Signature]:
        """The kinds of some values of a field; with ``others`` also of all that rules name."""
        rules: dict[int, list[object]] = {value: [] for value in values}
        owners = self._places.macs if name == "eth_dst" else self._places.numbers
        serving = self._places.serving() if name == "eth_dst" else {}
        six = SIX if name in IPV6_FIELDS else 0
        for table, index in self._tables.items():
            if table in LARGE:
                continue
            for shape, group in index.groups.items():
                if target_of(group) != name:
                    continue
                where = (table, shape)
                if others or group.mask:
                    named: Iterable[tuple[tuple[int, ...], Rule]] = group.rules.items()
                else:
                    keys = [(value,) for value in rules if (value,) in group.rules]
                    named = [(key, group.rules[key]) for key in keys]
                for key, rule in named:
                    if others or key[0] in rules:
                        said = self._actions(rule.actions, owners.get(key[0] | six))
                        said_here = (where, key[1:], rule.priority, rule.cookie >> 48, said)
                        rules.setdefault(key[0], []).append(said_here)
        found: dict[int, Signature] = {}
        for value, said in rules.items():
            place = owners.get(value | six)
            marks = self._loose.marks(name, value)
            owner = None if place is None else place[0]
            if name == "eth_dst":
                tag = self._places.tags.get((*(place or (0, 0)), value), 0)
            else:
                tag = self._places.tag_of(value | six)
            said_of = (tag, serving.get(value, frozenset()))
            found[value] = (owner, marks, said_of, frozenset(said))
        return found

    def _actions(self, actions: tuple[RuleAction, ...], place: tuple[int, int] | None) -> object:
        said = self._said.get((id(actions), place))
        if said is None:
            said = tuple(self._action(action, place) for action in actions)
            self._said[id(actions), place] = said
            self._kept.append(actions)
        return said

    def _action(self, action: RuleAction, place: tuple[int, int] | None) -> object:
        if place is None:
            return action
        if isinstance(action, Load) and action == Load(layout.OWNER, place[0]):
            return "switch"
        if isinstance(action, Load) and action.value == place[1]:
            if action.target == layout.OWNER_PORT:
                if not bits_mask(action.target) & self._loose.matched:
                    return "port"
        if isinstance(action, Output) and action.port == place[1]:
            return "out of the port"
        return action

    def marks(self, name: str, value: int) -> tuple[bool, ...]:
        """Which of the loose conditions on a field a value meets."""
        return self._loose.marks(name, value)

    def samples(self, name: str, owners: Owners) -> list[int]:
        """Two values of every kind, the kinds of owners that are alike taken together."""
        found: dict[Signature, list[int]] = {}
        for (owner, *rest), values in self.kinds[name].items():
            found.setdefault((owners.kind(owner), *rest), []).extend((values[0], values[-1]))
        return [
            value for values in found.values() for value in dict.fromkeys((values[0], values[-1]))
        ]


def _addresses(places: AttachmentPoints, name: str) -> Iterator[int]:
    for number in places.numbers:
        if bool(number & SIX) == (name in IPV6_FIELDS):
            yield number & ~SIX

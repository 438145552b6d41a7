"""Switches that one switch treats alike as the owners of a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies import layout
from policies.compiler import SwitchView
from policies.prove.index import TableIndex, bits_mask, place, shape_of
from policies.prove.loose import LARGE
from policies.rules import Bits, RuleAction

_OWNER = bits_mask(layout.OWNER)
_AT = place(layout.OWNER.field, layout.OWNER.low) or 0


class Owners:
    """What the rules of one switch, and its links, say of the switches that own targets.

    A target's owner stands in a register. Where rules match that register as a whole or not at
    all, and none copies it or writes a part of it, two other switches with the same rules and the
    same way there are interchangeable: nothing tells packets to the one from packets to the other.
    """

    def __init__(self, tables: Mapping[int, TableIndex], view: SwitchView, written: int) -> None:
        """``written`` are the register bits that the tiers write."""
        self._view = view
        about = [
            (table, group)
            for table, index in tables.items()
            for group in index.groups.values()
            if group.mask & _OWNER
        ]
        self._told_apart = (
            written & _OWNER not in (0, _OWNER)
            or any(table in LARGE or group.mask & _OWNER != _OWNER for table, group in about)
            or any(_splits(actions) for actions in _fixed_actions(tables))
        )
        self._said: dict[int, set[object]] = {}
        for table, group in about:
            for rule in group.every():
                shape, (*rest, registers) = shape_of(rule)
                switch = (registers & _OWNER) >> _AT
                where = (table, shape, *rest, registers & ~_OWNER)
                said = (where, rule.priority, rule.cookie, rule.actions)
                self._said.setdefault(switch, set()).add(said)

    def kind(self, switch: object) -> object:
        """The same for switches that are alike as owners; the switch where one is like no other."""
        view = self._view
        if not isinstance(switch, int) or switch == view.switch or self._told_apart:
            return switch
        return view.next_ports.get(switch), frozenset(self._said.get(switch, ()))


def _fixed_actions(tables: Mapping[int, TableIndex]) -> Iterator[tuple[RuleAction, ...]]:
    """All there are outside of the large tables."""
    for table, index in tables.items():
        for group in index.groups.values() if table not in LARGE else ():
            yield from {id(rule.actions): rule.actions for rule in group.every()}.values()


def _splits(actions: tuple[RuleAction, ...]) -> bool:
    """Whether an action reads the owner's register, or writes some of its bits."""
    for action in actions:
        for name in ("source", "mark"):
            bits = getattr(action, name, None)
            if isinstance(bits, Bits) and _shared(bits):
                return True
        bits = getattr(action, "target", None)
        if isinstance(bits, Bits) and _shared(bits) not in (0, _OWNER):
            return True
    return False


def _shared(bits: Bits) -> int:
    return 0 if place(bits.field) is None else bits_mask(bits) & _OWNER

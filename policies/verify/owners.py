"""Switches that one switch treats alike as the owners of a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policies.compiler import SwitchView
from policies.rules import layout
from policies.rules.rule import Bits, Commit, Load, Move, OutputRegister, RuleAction
from policies.verify.index import TableIndex, bits_mask, place, shape_of
from policies.verify.wildcard_rules import LARGE

_OWNER = bits_mask(layout.OWNER)
_AT = place(layout.OWNER.field, layout.OWNER.low) or 0


class Owners:
    """What the rules of one switch, and its links, say of the switches that own targets.

    A target's owner stands in a register. Where rules match that register as a whole or not at
    all, and none copies it or writes a part of it, two other switches with the same rules and the
    same way there are interchangeable: nothing tells packets to the one from packets to the other.
    """

    def __init__(
        self,
        tables: Mapping[int, TableIndex],
        view: SwitchView,
        written: int,
        splitting: dict[TableIndex, bool],
    ) -> None:
        """``written`` are the register bits that the tiers write; ``splitting`` keeps which tables
        copy the register or write a part of it, for other switches that have the same."""
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
            or any(
                _splits(index, splitting) for table, index in tables.items() if table not in LARGE
            )
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


def _splits(index: TableIndex, known: dict[TableIndex, bool]) -> bool:
    """Whether an action of a table reads the owner's register, or writes some of its bits."""
    if index not in known:
        distinct = {id(rule.actions): rule.actions for rule in index.rules()}
        bits = {part for actions in distinct.values() for part in _registers(actions)}
        known[index] = any(_shared(part) not in whole for part, whole in bits)
    return known[index]


def _registers(actions: Iterable[RuleAction]) -> Iterator[tuple[Bits, tuple[int, ...]]]:
    """The registers that actions read or write, and how much of the owner's register that may
    be."""
    for action in actions:
        match action:
            case Load(target):
                yield target, (0, _OWNER)
            case Move(source, target):
                yield target, (0, _OWNER)
                yield source, (0,)
            case OutputRegister(bits) | Commit(mark=Bits() as bits):
                yield bits, (0,)


def _shared(bits: Bits) -> int:
    return 0 if place(bits.field) is None else bits_mask(bits) & _OWNER

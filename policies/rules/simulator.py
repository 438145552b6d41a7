"""Rules simulated in software: what a switch does to one packet, and by which rules.

``septum policy trace`` shows the rules that a packet matches; tests compare the outcome with the
verdict and with Open vSwitch's own ``ofproto/trace``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from policies.rules.conntrack import INVALID, is_untrackable
from policies.rules.rule import (
    REMEMBERED,
    Bits,
    Commit,
    CopyToController,
    Goto,
    Learn,
    Load,
    Move,
    Output,
    OutputRegister,
    PopVlan,
    PushVlan,
    Resubmit,
    Rule,
    RuleAction,
    ToController,
    Track,
    UseMeter,
    WriteMetadata,
)

MAX_STEPS = 64
WIDE = 128


@dataclass(slots=True)
class Passage:
    """A packet's path: the rules it matched in order, its output ports, and side effects."""

    rules: list[Rule] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)
    committed: bool = False
    learned: bool = False
    fields: dict[str, int] = field(default_factory=dict)
    came: Mapping[str, int] = field(default_factory=dict)  # the fields that it came with


class Interpreter:
    """One switch's rules, indexed; ``full``: it can track no more connections."""

    def __init__(self, rules: Iterable[Rule], *, full: bool = False) -> None:
        self.full = full
        tables: dict[int, list[Rule]] = defaultdict(list)
        for rule in rules:
            tables[rule.table].append(rule)
        self._tables = {
            number: sorted(table, key=lambda rule: -rule.priority)
            for number, table in tables.items()
        }

    def run(self, packet: Mapping[str, int], ct_state: int) -> Passage:
        """Send a packet through from table 0.

        ``packet`` maps field names to values (with ``ct_*`` fields for a related packet);
        ``ct_state`` is the state that connection tracking gives it, in Open vSwitch's bits.

        Raises RuntimeError when the rules form a loop.
        """
        passage = Passage(fields=dict(packet), came=packet)
        passage.fields["ct_state"] = 0
        passage.fields.setdefault(REMEMBERED.field, 0)
        table: int | None = 0
        for _ in range(MAX_STEPS):
            if table is None:
                return passage
            table = self._table(table, passage, ct_state)
        raise RuntimeError("the rules send this packet in a loop")

    def visit(self, table: int, fields: Mapping[str, int]) -> None:
        """Called when a packet enters a table; for subclasses."""

    def did(self, action: RuleAction, fields: Mapping[str, int]) -> None:
        """Called before each action, with the fields as they are; for subclasses."""

    def _table(self, table: int, passage: Passage, ct_state: int) -> int | None:
        """Look up one table and apply the matching rule; the table to go on in, if any."""
        self.visit(table, passage.fields)
        rule = next(
            (each for each in self._tables.get(table, ()) if matches(each, passage.fields)), None
        )
        if rule is None:
            return None
        passage.rules.append(rule)
        following: int | None = None
        for action in rule.actions:
            self.did(action, passage.fields)
            match action:
                case Load(target, value):
                    _write(passage.fields, target, value)
                case Move(source, target):
                    _write(passage.fields, target, _read(passage.fields, source))
                case Output(port):
                    _leave(passage, port)
                case OutputRegister(source):
                    _leave(passage, _read(passage.fields, source))
                case CopyToController(meter):
                    passage.copies.append(meter)
                case Resubmit(other):
                    self._table(other, passage, ct_state)
                case Track(_, other):
                    spoilt = passage.fields["ct_state"] and is_untrackable(
                        passage.fields, passage.came
                    )
                    passage.fields["ct_state"] = INVALID if spoilt else ct_state
                    following = other
                case Commit(_, other):
                    passage.committed = not self.full
                    _write(passage.fields, REMEMBERED, int(not self.full))
                    following = other
                case Learn():
                    passage.learned = True
                case PushVlan():
                    passage.fields["vlan_vid"] = 0x1000
                case PopVlan():
                    passage.fields.pop("vlan_vid", None)
                case UseMeter():
                    pass  # never too much here
                case ToController():
                    passage.copies.append(0)
                case WriteMetadata(value, mask):
                    known = passage.fields.get("metadata", 0)
                    passage.fields["metadata"] = known & ~mask | value
                case Goto(other):
                    following = other
        return following


def _leave(passage: Passage, port: int) -> None:
    """Output by a port, unless it is the ingress port or port 0."""
    if port not in (0, passage.fields.get("in_port")):
        passage.outputs.append(port)


def matches(rule: Rule, fields: Mapping[str, int]) -> bool:
    """Whether a rule matches a packet with these fields and registers."""
    for wanted in rule.match:
        value = fields.get(wanted.name)
        if value is None:
            if not wanted.name.startswith(("reg", "metadata")):
                return False
            value = 0
        if (value if wanted.mask is None else value & wanted.mask) != wanted.value:
            return False
    return True


def _register_parts(name: str) -> tuple[str, ...] | None:
    """The 32-bit registers behind a wide one, most significant first."""
    if not name.startswith("xxreg"):
        return None
    first = int(name.removeprefix("xxreg")) * 4
    return tuple(f"reg{first + index}" for index in range(4))


def _value(fields: Mapping[str, int], name: str) -> int:
    parts = _register_parts(name)
    if parts is None:
        return fields.get(name, 0)
    value = 0
    for part in parts:
        value = value << 32 | fields.get(part, 0)
    return value


def _read(fields: Mapping[str, int], bits: Bits) -> int:
    return _value(fields, bits.field) >> bits.low & (1 << bits.width) - 1


def _write(fields: dict[str, int], bits: Bits, value: int) -> None:
    mask = (1 << bits.width) - 1 << bits.low
    whole = _value(fields, bits.field) & ~mask | value << bits.low & mask
    parts = _register_parts(bits.field)
    if parts is None:
        fields[bits.field] = whole
        return
    for index, part in enumerate(parts):
        fields[part] = whole >> 32 * (3 - index) & 0xFFFF_FFFF

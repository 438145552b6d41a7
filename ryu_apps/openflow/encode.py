"""Rules as OpenFlow 1.3 flow-mods for Open vSwitch.

Matches and instructions are written exactly as the switch reports them, so
that comparing desired with installed rules is comparing bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from policies.rules.layout import Category, cookie
from policies.rules.rule import (
    REMEMBERED,
    Bits,
    Commit,
    CopyToController,
    Field,
    Goto,
    Learn,
    LearnConstant,
    LearnMatch,
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
from ryu_apps.openflow.fields import BY_NAME

HELPER_PORTS = {"ftp": 21, "tftp": 69}  # how NXAST_CT names helpers
NX_VENDOR = 0x00002320
RESUBMIT_IN_PORT = 0xFFF8
CONTROLLER_PORT = 0xFFFF_FFFD
SEND_FLOW_REMOVED = 1
OXM_MATCH = 1
ETH_VLAN = 0x8100
STANDARD_CLASS = b"\x80\x00"
(ADD, MODIFY_STRICT, DELETE, DELETE_STRICT) = (0, 2, 3, 4)
ALL_TABLES = 0xFF
NO_BUFFER = ANY_PORT = ANY_GROUP = 0xFFFF_FFFF

_LOAD = struct.Struct("!HHIHHIQ")
_MOVE = struct.Struct("!HHIHHHHII")
_FLOW_MOD = struct.Struct("!QQBBHHHIIIHxx")
MatchKey = tuple[bytes, ...]
WireKey = tuple[int, int, MatchKey]


@dataclass(frozen=True, slots=True)
class WireRule:
    """A rule as bytes: ``key`` is what the switch takes for the same rule."""

    key: WireKey
    cookie: int
    instructions: bytes
    timed: bool
    hard_timeout: int = 0
    idle_timeout: int = 0

    def same_effect(self, other: WireRule) -> bool:
        """Equal but for the time that is left on a timed rule."""
        return (self.cookie, self.instructions, self.timed, self.idle_timeout) == (
            other.cookie,
            other.instructions,
            other.timed,
            other.idle_timeout,
        )


def wire_rule(rule: Rule) -> WireRule:
    return WireRule(
        wire_key(rule),
        rule.cookie,
        instruction_bytes(rule.actions),
        rule.hard_timeout > 0,
        rule.hard_timeout,
        rule.idle_timeout,
    )


def wire_key(rule: Rule) -> WireKey:
    """What both ends of a rule say of one field is written once: OpenFlow refuses it twice."""
    return (rule.table, rule.priority, tuple(sorted({field_bytes(field) for field in rule.match})))


@lru_cache(maxsize=1 << 16)
def field_bytes(field: Field) -> bytes:
    wire = BY_NAME[field.name]
    value = field.value.to_bytes(wire.size, "big")
    if field.mask is None:
        return wire.prefix(masked=False) + value
    return wire.prefix(masked=True) + value + field.mask.to_bytes(wire.size, "big")


def match_bytes(key: MatchKey) -> bytes:
    """A match, with Ethernet and IP types first since other fields depend on them."""
    plain = [field for field in key if field.startswith(STANDARD_CLASS)]
    body = b"".join(plain) + b"".join(field for field in key if field not in plain)
    length = 4 + len(body)
    return struct.pack("!HH", OXM_MATCH, length) + body + bytes(-length % 8)


def flow_mod(rule: WireRule, command: int = ADD) -> bytes:
    """The body of a flow-mod (without the OpenFlow header)."""
    table, priority, key = rule.key
    deleting = command in (DELETE, DELETE_STRICT)
    return (
        _FLOW_MOD.pack(
            rule.cookie,
            0xFFFF_FFFF_FFFF_FFFF if deleting else 0,
            table,
            command,
            rule.idle_timeout,
            rule.hard_timeout,
            priority,
            NO_BUFFER,
            ANY_PORT,
            ANY_GROUP,
            SEND_FLOW_REMOVED if rule.timed or rule.idle_timeout else 0,
        )
        + match_bytes(key)
        + (b"" if deleting else rule.instructions)
    )


def delete_ours() -> list[bytes]:
    """Bodies that remove every rule with a cookie of ours, learned ones too, and no other."""
    mask = 0xFFFF << 48  # layout epoch and category
    head = (0, 0, NO_BUFFER, ANY_PORT, ANY_GROUP, 0)
    return [
        _FLOW_MOD.pack(cookie(category), mask, ALL_TABLES, DELETE, 0, *head) + match_bytes(())
        for category in Category
    ]


def instruction_bytes(actions: tuple[RuleAction, ...]) -> bytes:
    """Meter, metadata and goto are instructions; all else is one apply-actions instruction."""
    before, after, body = b"", b"", b""
    for action in actions:
        match action:
            case UseMeter(number):
                before += struct.pack("!HHI", 6, 8, number)
            case WriteMetadata(value, mask):
                after += struct.pack("!HHxxxxQQ", 2, 24, value, mask)
            case Goto(table):
                after += struct.pack("!HHBxxx", 1, 8, table)
            case _:
                body += action_bytes(action)
    if body:
        body = struct.pack("!HHxxxx", 4, 8 + len(body)) + body
    return before + body + after


def action_bytes(action: RuleAction) -> bytes:
    match action:
        case Load(target, value):
            header = BY_NAME[target.field].action_header
            return _LOAD.pack(0xFFFF, 24, NX_VENDOR, 7, _offset(target), header, value)
        case Move():
            return _move(action)
        case Output(port):
            return struct.pack("!HHIHxxxxxx", 0, 16, port, 0)
        case OutputRegister(source):
            header = BY_NAME[source.field].action_header
            place = _offset(source)
            return struct.pack("!HHIHHIHxxxxxx", 0xFFFF, 24, NX_VENDOR, 15, place, header, 0xFFFF)
        case CopyToController(meter, max_len):
            return _controller(meter, max_len)
        case Resubmit(table):
            return struct.pack("!HHIHHBxxx", 0xFFFF, 16, NX_VENDOR, 14, RESUBMIT_IN_PORT, table)
        case Track(zone, table):
            return _ct(0, zone, table, b"")
        case Commit(zone, table, mark, helper):
            done = action_bytes(Load(REMEMBERED, 1))
            if mark is not None:
                done = action_bytes(Move(mark, Bits("ct_mark", 0, mark.width))) + done
            return _ct(1, zone, table, done, HELPER_PORTS.get(helper or "", 0))
        case Learn():
            return _learn(action)
        case PushVlan():
            return struct.pack("!HHHxx", 17, 8, ETH_VLAN)
        case PopVlan():
            return struct.pack("!HHxxxx", 18, 8)
        case ToController(max_len):
            return struct.pack("!HHIHxxxxxx", 0, 16, CONTROLLER_PORT, max_len)
        case UseMeter() | WriteMetadata() | Goto():
            raise ValueError(f"{action} is an instruction, not an action")


def _offset(bits: Bits) -> int:
    return bits.low << 6 | bits.width - 1


def _move(action: Move) -> bytes:
    source, target = action.source, action.target
    return _MOVE.pack(
        0xFFFF,
        24,
        NX_VENDOR,
        6,
        source.width,
        source.low,
        target.low,
        BY_NAME[source.field].action_header,
        BY_NAME[target.field].action_header,
    )


def _ct(flags: int, zone: int, table: int, nested: bytes, helper: int = 0) -> bytes:
    size = 24 + len(nested)
    head = struct.pack("!HHIHHIHBxxxH", 0xFFFF, size, NX_VENDOR, 35, flags, 0, zone, table, helper)
    return head + nested


def _controller(meter: int, max_len: int) -> bytes:
    # The switch counts a property's padding in its length.
    properties = struct.pack("!HHHxx", 0, 8, max_len)
    if meter:
        properties += struct.pack("!HHI", 5, 8, meter)
    return struct.pack("!HHIHxxxxxx", 0xFFFF, 16 + len(properties), NX_VENDOR, 37) + properties


def _learn(learn: Learn) -> bytes:
    """NXAST_LEARN2: the form of ``learn`` that has a limit."""
    specs = b"".join(_learn_match(spec) for spec in learn.match)
    specs += _immediate(learn.load.value, learn.load.target, into_load=True)
    length = 40 + len(specs)
    padding = -length % 8
    return (
        struct.pack(
            "!HHIHHHHQHBxHHIHxx",
            0xFFFF,
            length + padding,
            NX_VENDOR,
            45,
            learn.idle_timeout,
            0,
            learn.priority,
            learn.cookie,
            SEND_FLOW_REMOVED,
            learn.table,
            0,  # no other idle time after a TCP FIN: TCP is not counted so
            0,
            learn.limit,
            0,
        )
        + specs
        + bytes(padding)
    )


def _learn_match(spec: LearnMatch | LearnConstant) -> bytes:
    if isinstance(spec, LearnConstant):
        return _immediate(spec.value, spec.target, into_load=False)
    place = _place(spec.source)
    return struct.pack("!H", spec.source.width) + place + place


def _immediate(value: int, target: Bits, *, into_load: bool) -> bytes:
    kind = 1 << 13 | (1 << 11 if into_load else 0) | target.width
    size = (target.width + 15) // 16 * 2
    return struct.pack("!H", kind) + value.to_bytes(size, "big") + _place(target)


def _place(bits: Bits) -> bytes:
    return struct.pack("!IH", BY_NAME[bits.field].action_header, bits.low)

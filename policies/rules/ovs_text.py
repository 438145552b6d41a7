"""Rules as text that ``ovs-ofctl -O OpenFlow13 add-flows`` accepts, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from policies.rules.fields import FieldKind, kind_of, spelling_of
from policies.rules.layout import RuleTable
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
from topology.addresses import mac_text

# Ports that are none (OpenFlow 1.3.5, section 7.2.1). No rule of ours names one; somebody's own,
# read back from a switch, may.
RESERVED = {
    0xFFFF_FFF8: "IN_PORT", 0xFFFF_FFFA: "NORMAL", 0xFFFF_FFFB: "FLOOD", 0xFFFF_FFFC: "ALL",
    0xFFFF_FFFD: "CONTROLLER", 0xFFFF_FFFE: "LOCAL",
}  # fmt: skip
# Open vSwitch takes words for ``ip_frag``, not numbers: bit 0 any fragment, bit 1 a later one.
FRAGMENTS = {"no": (0, None), "yes": (1, 1), "first": (1, None), "later": (3, None)}
_FRAGMENT_WORDS = {bits: word for word, bits in FRAGMENTS.items()}


def ovs_text(rule: Rule) -> str:
    """One line of ``ovs-ofctl`` syntax."""
    parts = [f"cookie={rule.cookie:#018x}", f"table={rule.table}", f"priority={rule.priority}"]
    if rule.hard_timeout:
        parts.append(f"hard_timeout={rule.hard_timeout}")
    if rule.idle_timeout:
        parts.append(f"idle_timeout={rule.idle_timeout}")
    ordered = sorted(rule.match, key=lambda field: (_depth(field.name), field.name))
    parts += [field_text(field) for field in ordered]
    actions = ",".join(action_text(action) for action in rule.actions) or "drop"
    return ",".join(parts) + f",actions={actions}"


def _depth(name: str) -> int:
    """Prerequisites first, as ovs-ofctl wants them."""
    return {"eth_type": 0, "ip_proto": 1, "icmp_type": 2, "icmpv6_type": 2}.get(name, 3)


def field_text(field: Field) -> str:
    kind = kind_of(field.name)
    if kind is FieldKind.FLAGS and field.mask is not None:
        return f"{field.name}={field.value:#x}/{field.mask:#x}"
    if kind is FieldKind.FRAGMENT:
        return f"{field.name}={_FRAGMENT_WORDS[field.value, field.mask]}"
    value = _value_text(kind, field.value)
    under = "" if field.mask is None else f"/{_value_text(kind, field.mask)}"
    return f"{field.name}={value}{under}"


def _value_text(kind: FieldKind, value: int) -> str:
    match kind:
        case FieldKind.MAC:
            return mac_text(value)
        case FieldKind.IPV4:
            return str(IPv4Address(value))
        case FieldKind.IPV6:
            return str(IPv6Address(value))
        case FieldKind.HEX:
            return f"{value:#x}"
    return str(value)


def _bits(bits: Bits) -> str:
    return f"{spelling_of(bits.field)}[{bits.low}..{bits.low + bits.width - 1}]"


def action_text(action: RuleAction) -> str:
    match action:
        case Load(target, value):
            return f"load:{value:#x}->{_bits(target)}"
        case Move(source, target):
            return f"move:{_bits(source)}->{_bits(target)}"
        case Output(port):
            return RESERVED.get(port) or f"output:{port}"
        case OutputRegister(source):
            return f"output:{_bits(source)}"
        case CopyToController(meter, max_len):
            return f"controller(max_len={max_len},meter_id={meter})"
        case Resubmit(table):
            return f"resubmit(,{table})"
        case Track(zone, table):
            return f"ct(table={table},zone={zone})"
        case Commit(zone, table, mark, helper):
            marking = "" if mark is None else f"move:{_bits(mark)}->NXM_NX_CT_MARK[],"
            done = f"{marking}load:0x1->{_bits(REMEMBERED)}"
            alg = "" if helper is None else f",alg={helper}"
            return f"ct(commit,table={table},zone={zone},exec({done}){alg})"
        case Learn():
            return _learn_text(action)
        case PushVlan():
            return "push_vlan:0x8100"
        case PopVlan():
            return "pop_vlan"
        case UseMeter(number):
            return f"meter:{number}"
        case ToController(max_len):
            return f"CONTROLLER:{max_len}"
        case WriteMetadata(value, mask):
            return f"write_metadata:{value:#x}/{mask:#x}"
        case Goto(table):
            return f"goto_table:{table}"


def _learn_text(learn: Learn) -> str:
    parts = [
        f"table={learn.table}",
        f"idle_timeout={learn.idle_timeout}",
        f"priority={learn.priority}",
        f"cookie={learn.cookie:#x}",
        "send_flow_rem",
        f"limit={learn.limit}",
    ]
    for spec in learn.match:
        if isinstance(spec, LearnMatch):
            parts.append(_bits(spec.source))
        elif isinstance(spec, LearnConstant):
            parts.append(f"{_bits(spec.target)}={spec.value:#x}")
    parts.append(f"load:{learn.load.value:#x}->{_bits(learn.load.target)}")
    return "learn(" + ",".join(parts) + ")"


def json_rule(rule: Rule, tables: type[IntEnum] = RuleTable) -> dict[str, Any]:
    """A rule as plain data: the same facts as its text. ``tables`` names the tables."""
    return {
        "table": int(rule.table),
        "table_name": tables(rule.table).name.lower(),
        "priority": rule.priority,
        "cookie": f"{rule.cookie:#018x}",
        "hard_timeout": rule.hard_timeout,
        "idle_timeout": rule.idle_timeout,
        "match": [
            {"field": field.name, "value": field.value, "mask": field.mask} for field in rule.match
        ],
        "actions": [
            {"action": type(action).__name__.lower(), **asdict(action)} for action in rule.actions
        ],
        "text": ovs_text(rule),
    }


def ovs_lines(rules: Iterable[Rule]) -> str:
    return "".join(ovs_text(rule) + "\n" for rule in rules)

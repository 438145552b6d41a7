"""Small pieces that rule tables are built of."""

from __future__ import annotations

from policies.model import ICMPV6
from policies.rules.layout import Category, RuleTable, cookie
from policies.rules.rule import Bits, Field, Rule, RuleAction, match
from policies.semantics.prefix_sets import SIX

BASE = cookie(Category.BASE)
ETH_IP, ETH_ARP, ETH_IPV6, ETH_LLDP = 0x0800, 0x0806, 0x86DD, 0x88CC
TCP_FIN, TCP_SYN, TCP_RST, TCP_ACK = 0x01, 0x02, 0x04, 0x10


def flag(bits: Bits, value: int = 1) -> Field:
    """Match ``value`` in a run of bits of a register."""
    return Field(bits.field, value << bits.low, ((1 << bits.width) - 1) << bits.low)


def flags(*fields: Field) -> tuple[Field, ...]:
    """Match several runs of bits; those of one register become one field."""
    merged: dict[str, Field] = {}
    for field in fields:
        known = merged.get(field.name)
        if known is None or known.mask is None or field.mask is None:
            merged[field.name] = field
        else:
            merged[field.name] = Field(
                field.name, known.value | field.value, known.mask | field.mask
            )
    return match(*(_exact_when_full(each) for each in merged.values()))


def _exact_when_full(field: Field) -> Field:
    full = field.name.startswith("reg") and field.mask == 0xFFFF_FFFF
    return Field(field.name, field.value) if full else field


def rule(table: RuleTable, priority: int, fields: tuple[Field, ...], *actions: RuleAction) -> Rule:
    return Rule(table, priority, match(*fields), actions, BASE)


def neighbour_fields(icmp_type: int) -> tuple[Field, ...]:
    """Match one kind of neighbour discovery message."""
    return (
        Field("eth_type", ETH_IPV6),
        Field("ip_proto", ICMPV6),
        Field("icmpv6_type", icmp_type),
    )


def prefix_fields(key: tuple[int, int], side: str) -> tuple[Field, ...]:
    """Match a prefix, as in `policies.compiler.common.aggregate`, in a packet's source (``src``) or
    destination (``dst``)."""
    start, wide = key
    bits, family, name = (32, ETH_IP, "ip") if start < SIX else (128, ETH_IPV6, "ipv6")
    whole = (1 << bits) - 1
    mask = wide & whole
    if not mask:
        return (Field("eth_type", family),)
    value = Field(f"{name}_{side}", start & ~SIX, None if mask == whole else mask)
    return (Field("eth_type", family), value)


def prefix_length(key: tuple[int, int]) -> int:
    """How many leading bits a prefix fixes."""
    start, wide = key
    return (33 if start < SIX else 129) - (-wide).bit_length()

"""Rules that exist as bytes only, in words close to ``ovs-ofctl``'s."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from policies.rules.fields import FieldKind, kind_of
from ryu_apps.openflow.encode import MatchKey, WireRule
from ryu_apps.openflow.fields import BY_HEADER


def rule_text(rule: WireRule) -> str:
    """Cookie, table, priority and match; what identifies a rule on its switch."""
    table, priority, key = rule.key
    matched = "".join(f",{field}" for field in _fields(key))
    return f"cookie={rule.cookie:#x},table={table},priority={priority}{matched}"


def _fields(key: MatchKey) -> Iterator[str]:
    for raw in key:
        header = int.from_bytes(raw[:4], "big")
        known = BY_HEADER.get(header >> 9)
        name = known.name if known is not None else f"field_{header >> 9:#x}"
        value, masked = raw[4:], bool(header >> 8 & 1)
        if not masked:
            yield f"{name}={_value(name, value)}"
        else:
            half = len(value) // 2
            yield f"{name}={_value(name, value[:half])}/{_value(name, value[half:])}"


def _value(name: str, value: bytes) -> str:
    kind = kind_of(name)
    if kind in (FieldKind.IPV4, FieldKind.IPV6) and len(value) in (4, 16):
        return str(ip_address(value))
    if kind is FieldKind.MAC:
        return value.hex(":")
    return hex(int.from_bytes(value, "big"))

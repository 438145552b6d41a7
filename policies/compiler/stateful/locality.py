"""Where a packet's target is, and the way there.

Every switch holds the location of every host in the same rules (owner switch
and port, in registers), so that a changed link changes only the few rules of
the forward table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from zlib import crc32

from policies.compiler.common.requests import owner_rule
from policies.compiler.stateful.layouts import REQUESTS
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, cookie
from policies.rules.rule import Field, Goto, Load, Output, OutputRegister, Rule, RuleAction

_FORWARD = cookie(Category.FORWARD)


@lru_cache(maxsize=1 << 17)
def _found(
    switch: int, port: int, following: RuleTable, vlan: int | None = None
) -> tuple[RuleAction, ...]:
    tag = () if vlan is None else (Load(layout.VLAN, vlan),)
    return (Load(layout.OWNER, switch), Load(layout.OWNER_PORT, port), *tag, Goto(following))


def way_rule(mac: int, switch: int, port: int, vlan: int = 0) -> Rule:
    """Where the host with this MAC is, and the tag it wants there."""
    number = crc32(mac.to_bytes(6, "big"))
    fields = (Field("eth_dst", mac),)
    return Rule(
        RuleTable.LOCALITY,
        100,
        fields,
        _found(switch, port, RuleTable.ARP, vlan or None),
        _FORWARD | number,
    )


def find_rule(number: int, switch: int, port: int, vlan: int | None = None) -> Rule:
    """A request for this address goes to its owner's port alone, also with the controller down.

    ``vlan`` is 0 for an owner without a tag where other hosts have some: the frame may be
    addressed to one of them.
    """
    return owner_rule(REQUESTS, number, _found(switch, port, RuleTable.FORWARD, vlan))


def owner_fields(switch: int) -> tuple[Field, Field]:
    high, low = layout.OWNER_REGS
    return Field(high, switch >> 32), Field(low, switch & 0xFFFF_FFFF)


def local_rules(switch: int, next_ports: Mapping[int, int]) -> Iterator[Rule]:
    """The way to the hosts of every switch that can be reached; to the others there is none."""
    yield Rule(
        RuleTable.FORWARD, 100, owner_fields(switch), (OutputRegister(layout.OWNER_PORT),), _FORWARD
    )
    for other in sorted(next_ports):
        out = (Output(next_ports[other]),)
        yield Rule(RuleTable.FORWARD, 100, owner_fields(other), out, _FORWARD)

"""Rules of the tiers and intents as boxes: sources × targets × services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policies.model import (
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    Intent,
    Service,
)
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, cookie
from policies.rules.rule import Bits, Goto, Load, Rule, RuleAction
from policies.semantics.precedence import rank_of
from policies.verify.index import bits_mask, place
from policies.verify.packets import ADVERTISE, SOLICIT
from policies.verify.ranges import Ranges, common, joined, masked, meet, without

TIERS = (RuleTable.EMERGENCY, RuleTable.ADAPTIVE, RuleTable.POLICY)
SERVICE = bits_mask(Bits(layout.PROTO.field, 0, 32))
# Bits that differ between packets on entering the tiers and are no part of an end or a service.
VARYING = 0
for _bits in (
    layout.FROM_EDGE,
    layout.TO_LOCAL,
    layout.REPLY,
    layout.RELATED,
    layout.OWNER,
    layout.OWNER_PORT,
):
    VARYING |= bits_mask(_bits)
INTENT = bits_mask(layout.INTENT)
SIX_BIT = 1 << 24  # a service is one number: family (1 bit), protocol (8), port or type (16)
EVERY_SERVICE: Ranges = ((0, 2 * SIX_BIT - 1),)
Label = tuple[int, int]  # intent number, cookie
Region = tuple[int, int, Ranges]  # source classes, target classes, services
DEFAULT: Label = (0, cookie(Category.DEFAULT))


def service_number(six: bool, proto: int, port: int = 0) -> int:
    return (SIX_BIT if six else 0) | proto << 16 | port


def reachable_services() -> Ranges:
    """What a packet can ask for: only some protocols have ports."""
    found = []
    for six in (False, True):
        for proto in range(256):
            typed = proto == (ICMPV6 if six else ICMP)
            size = 65536 if proto in PORT_PROTOCOLS else 256 if typed else 1
            low = service_number(six, proto)
            if typed and six:  # neighbour discovery is no connection
                found += [(low, low + SOLICIT - 1), (low + ADVERTISE + 1, low + size - 1)]
            else:
                found.append((low, low + size - 1))
    return joined(found)


REACHABLE = reachable_services()


def reachable_in(services: Ranges, six: bool) -> Ranges:
    """Of some services those that a packet of one family can ask for."""
    base = SIX_BIT if six else 0
    return common(common(services, REACHABLE), ((base, base + SIX_BIT - 1),))


@dataclass(frozen=True, slots=True)
class Leaf:
    """How a packet leaves the tiers: the next table, and register bits written but the intent's."""

    table: int | None
    mask: int
    value: int
    odd: tuple[RuleAction, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """``rank`` orders boxes of one side: the smaller one decides."""

    sources: int
    targets: int
    services: Ranges
    rank: tuple[int, ...]
    label: Label
    leaf: Leaf | None = None
    rule: Rule | None = None
    intent: Intent | None = None


def order_of(intent: Intent) -> tuple[int, ...]:
    """Who decides first: the tier, deny before allow, then the name (as bytes, in one number)."""
    return *rank_of(intent.tier, intent.action), *intent.name.encode("utf-32-be")


def leaf_of(rule: Rule, mask: int, value: int) -> Leaf:
    """What a rule's actions do, after these register bits were written."""
    table, odd = None, []
    for action in rule.actions:
        if isinstance(action, Goto):
            table = int(action.table)
        elif isinstance(action, Load) and (at := place(action.target.field)) is not None:
            bits = bits_mask(action.target)
            mask |= bits
            value = value & ~bits | action.value << at + action.target.low & bits
        else:
            odd.append(action)
    return Leaf(table, mask, value, tuple(odd))


def asked_ranges(value: int, mask: int, families: int) -> Ranges:
    """The services under a match on the service register and the family."""
    if value & mask & 0xFF_0000:
        return ()
    six = {0: (), 1: (0,), 2: (SIX_BIT,), 3: (0, SIX_BIT)}[families]
    if not mask & 0xFF00_FFFF:
        return joined((each, each + SIX_BIT - 1) for each in six)
    linear = (value >> 24 & 0xFF) << 16 | value & 0xFFFF
    bits = (mask >> 24 & 0xFF) << 16 | mask & 0xFFFF
    ranges = masked(linear, bits, 24)
    return joined((each | low, each | high) for each in six for low, high in ranges)


def service_ranges(service: Service) -> Iterator[tuple[int, int]]:
    """A service of the policy as numbers."""
    proto, low, high = service.proto, service.low, service.high
    if proto is None:
        yield from EVERY_SERVICE
        return
    for six in {ICMP: (False,), ICMPV6: (True,)}.get(proto, (False, True)):
        base = service_number(six, proto)
        yield base | (low or 0), base | (0xFFFF if high is None else high)


def ranked(boxes: Iterable[Box]) -> list[Box]:
    """Boxes of one side, the deciding ones first."""
    return sorted(boxes, key=lambda box: box.rank)


def touches(box: Box, part: Region) -> bool:
    """Whether a box shares a packet with another."""
    return bool(box.sources & part[0] and box.targets & part[1] and meet(box.services, part[2]))


def inside(part: Region, box: Box) -> Region | None:
    """The part of a region in a box; None where there is none."""
    sources = part[0] & box.sources
    if not sources:
        return None
    targets = part[1] & box.targets
    if not targets:
        return None
    services = common(part[2], box.services)
    return (sources, targets, services) if services else None


def outside(part: Region, box: Box) -> Iterator[Region]:
    """The parts of a region that are not in a box."""
    sources, targets, services = part
    if rest := sources & ~box.sources:
        yield rest, targets, services
    sources &= box.sources
    if rest := targets & ~box.targets:
        yield sources, rest, services
    targets &= box.targets
    if left := without(services, box.services):
        yield sources, targets, left

"""What all kinds of switches have, in the tables of those that do not track connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.compiler.common.bindings import AddressOnPort
from policies.compiler.common.port_guard import GuardLayout
from policies.compiler.common.requests import RequestLayout
from policies.compiler.common.restrictions import (
    HeldAddress,
    HeldPort,
    held_addresses,
    held_ports,
)
from policies.compiler.common.rule_parts import BASE, ETH_IP, ETH_IPV6, prefix_fields
from policies.compiler.common.services import Fields
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.stateless.metadata import has_bits, set_bits
from policies.model import Restriction
from policies.rules import layout
from policies.rules.layout import SmallTable, StatelessTable
from policies.rules.rule import Field, Goto, Rule, RuleAction, ToController, UseMeter, match
from policies.semantics.prefix_sets import number_of

REPORT: tuple[RuleAction, ...] = (UseMeter(layout.STATELESS_METER), ToController())
STATELESS_GUARD = GuardLayout(
    StatelessTable.GUARD,
    admit=(set_bits(layout.PLAIN_FROM_EDGE), Goto(StatelessTable.LOCALITY)),
    onward=(Goto(StatelessTable.LOCALITY),),
    discovered=REPORT,
    report=REPORT,
)
# In one table what a host may send depends on whom it is for: only its requests are admitted.
SMALL_GUARD = GuardLayout(SmallTable.ONLY, (), (), REPORT, REPORT, raised=50_000)
STATELESS_REQUESTS = RequestLayout(
    StatelessTable.ARP,
    StatelessTable.ND,
    answered=(Goto(StatelessTable.FORWARD),),
    unknown=REPORT,
    from_edge=has_bits(layout.PLAIN_FROM_EDGE),
)


def quarantined(
    restrictions: Sequence[Restriction],
    now: float,
    view: SwitchView,
    places: Iterable[AddressOnPort],
) -> Iterator[tuple[Fields, HeldAddress | HeldPort]]:
    """Match packets from, and packets to, each quarantined port and address."""
    ports = {
        (held.switch, held.port): held
        for held in held_ports(restrictions, now)
        if held.action == "quarantine"
    }
    for port in ports.values():
        if port.switch == view.switch and port.port not in view.trunks:
            for family in (ETH_IP, ETH_IPV6):
                yield (Field("eth_type", family), Field("in_port", port.port)), port
    for place in places:
        if (place.switch, place.port) in ports:
            to = prefix_fields((place.number, -1), "dst")
            yield to, ports[place.switch, place.port]
    for held in held_addresses(restrictions, now):
        if held.action == "quarantine":
            for side in ("src", "dst"):
                yield prefix_fields((number_of(held.address), -1), side), held


def stateless_rule(
    table: StatelessTable, priority: int, fields: Iterable[Field], *actions: RuleAction
) -> Rule:
    """A rule that has no cause but the tables themselves."""
    return Rule(table, priority, match(*fields), actions, BASE)

"""What all kinds of switches have, in the tables of those that do not track connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.compiler.common.port_guard import GuardLayout
from policies.compiler.common.requests import RequestLayout
from policies.compiler.common.restrictions import HeldAddress, held_addresses
from policies.compiler.common.rule_parts import BASE, prefix_fields
from policies.compiler.common.services import Fields
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
    restrictions: Iterable[Restriction], now: float
) -> Iterator[tuple[Fields, HeldAddress]]:
    """Match packets from, and packets to, each quarantined address."""
    for held in held_addresses(restrictions, now):
        if held.action == "quarantine":
            for side in ("src", "dst"):
                yield prefix_fields((number_of(held.address), -1), side), held


def stateless_rule(
    table: StatelessTable, priority: int, fields: Iterable[Field], *actions: RuleAction
) -> Rule:
    """A rule that has no cause but the tables themselves."""
    return Rule(table, priority, match(*fields), actions, BASE)

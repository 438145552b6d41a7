"""What a proof says: that it holds, or a packet that shows it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.model import Connection
from policies.rules.layout import RuleTable
from policies.rules.rule import Rule
from policies.verify.boxes import TIERS
from policies.verify.differing import DECIDING
from policies.verify.expected import ExpectedPassage
from policies.verify.flows import ASKS
from policies.verify.machine import FULL_TABLE, MachineRun
from policies.verify.packets import NEW, REL, RPL


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A packet that the rules treat otherwise than the policy says.

    ``packet`` has Open vSwitch's fields, ``ct_state`` what connection tracking
    says of it; ``connection`` is None where no connection is judged.
    """

    switch: int
    packet: Mapping[str, int]
    ct_state: int
    in_port: int
    direction: str
    connection: Connection | None
    intent: str | None
    rule: Rule | None
    rules: tuple[Rule, ...]
    differences: tuple[str, ...]
    counted: bool = False
    tied: bool = False  # two rules of one priority match, and the switch may take either

    @property
    def traceable(self) -> bool:
        """Whether ``ofproto/trace`` can show it: a trace takes one of tied rules, and knows no
        connection that an ICMP error is about, no other fragments, no full table and no
        connection that is new still when it has been remembered."""
        quoted = any(self.packet.get(name) for name in ("ct_nw_src", "ct_ipv6_src"))
        whole = not self.packet.get("ip_frag", 0) and not self.ct_state & FULL_TABLE
        begun = any(rule.table == RuleTable.FORWARD and _asks_for_new(rule) for rule in self.rules)
        return whole and not self.tied and not begun and not (self.ct_state & REL and quoted)


def _asks_for_new(rule: Rule) -> bool:
    return any(each.name == "ct_state" and each.value & NEW for each in rule.match)


@dataclass(frozen=True, slots=True)
class Proof:
    """``holds`` only when every packet was covered and none differs; ``unproven`` says what could
    not be covered, ``statistics`` how much was looked at."""

    holds: bool
    counterexamples: tuple[Counterexample, ...] = ()
    unproven: tuple[str, ...] = ()
    statistics: Mapping[str, int] = field(default_factory=dict)


def example_of(
    switch: int,
    packet: dict[str, int],
    state: int,
    run: MachineRun,
    wanted: ExpectedPassage,
    differences: Sequence[str],
    counted: bool,
) -> Counterexample:
    """What a run has shown; the rule named is the one that decided, or else the last one met."""
    deciding = [
        rule for rule in run.rules if rule.table in TIERS and rule.cookie >> 48 & 0xFF in DECIDING
    ]
    blamed = deciding[-1:] or run.rules[-1:]
    verdict = wanted.verdict
    return Counterexample(
        switch,
        packet,
        state,
        packet["in_port"],
        "reply" if state & RPL else "new" if state == ASKS else "later",
        wanted.asked,
        None if verdict is None else verdict.intent,
        blamed[0] if blamed else None,
        tuple(run.rules),
        tuple(differences),
        counted,
    )

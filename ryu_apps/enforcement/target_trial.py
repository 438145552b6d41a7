"""What a switch lacks for the rules of its target: tried in a bundle that is thrown away.

The rules that are tried come from an empty policy and a switch without ports. Nothing that anybody
reported or declared is in them: where one of them is refused, the switch lacks a capability.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.compiler import SwitchView
from policies.compiler.targets import SwitchTarget, rules_for
from policies.model import Policy
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from ryu_apps.openflow import messages
from ryu_apps.openflow.describe import rule_text
from ryu_apps.openflow.encode import WireRule, flow_mod, wire_rule
from ryu_apps.switch.transactions import Transactions

PATIENCE = 10.0  # seconds


def tried_rules(target: SwitchTarget) -> tuple[Rule, ...]:
    """Rules that every switch of a target has, whatever its policy."""
    policy = Policy("", (), (), (), ())
    return rules_for(target, policy, Membership(policy, ()), SwitchView(0), (), 0.0)


@dataclass(slots=True)
class TargetTrial:
    """One trial; done when its barrier is answered."""

    transactions: Transactions
    refused: list[WireRule] = field(default_factory=list)
    _rules: dict[int, WireRule] = field(default_factory=dict)
    _barrier: int = 0

    def ask(self, rules: Iterable[Rule], now: float) -> bytes:
        """The requests."""
        until = now + PATIENCE
        self._rules = {self.transactions.begin(self, until): wire_rule(rule) for rule in rules}
        self._barrier = self.transactions.begin(self, until)
        bodies = {xid: flow_mod(rule) for xid, rule in self._rules.items()}
        return messages.discarded_bundle(self._barrier, bodies) + messages.barrier(self._barrier)

    def refuse(self, xid: int) -> None:
        """A rule was answered by an error."""
        if xid in self._rules:
            self.refused.append(self._rules[xid])

    def done(self, xid: int) -> bool:
        """Whether the trial has ended, with ``xid`` that of its barrier."""
        if xid != self._barrier:
            return False
        self.transactions.withdraw(self)
        return True

    def missing(self) -> str:
        """What the switch refused, in words; empty for nothing."""
        if not self.refused:
            return ""
        example = rule_text(self.refused[0])
        return f"{len(self.refused)} of {len(self._rules)} that were tried, such as {example}"

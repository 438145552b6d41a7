"""From a policy to one switch's rules: `compile_switch`.

The compiler is pure: the same policy, bindings and view of the switch give the
same rules in the same order. `policies.rules.layout` says what tables, registers and
cookies mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from policies.compiler.common.bindings import declared_bindings, hosts_of
from policies.compiler.common.changes import RuleChange, Update, change_between
from policies.compiler.common.intent_rules import intent_numbers
from policies.compiler.common.refusals import CompileError
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.compiler import Compiler, view_change, view_rules
from policies.compiler.stateful.feeds import FeedRules
from policies.feed_block import FeedBlock
from policies.model import Policy, Restriction
from policies.rules import layout
from policies.rules.rule import Meter, Rule
from policies.semantics.membership import Membership
from topology.records import Binding

__all__ = [
    "RuleChange",
    "CompileError",
    "Compiler",
    "FeedRules",
    "SwitchView",
    "Update",
    "change_between",
    "compile_switch",
    "declared_bindings",
    "hosts_of",
    "intent_numbers",
    "meters",
    "view_change",
    "view_rules",
]


def compile_switch(
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    now: float,
    restrictions: Sequence[Restriction] = (),
    feeds: Sequence[FeedBlock] = (),
) -> tuple[Rule, ...]:
    """All rules of one switch, by table and then priority, highest first.

    For several switches, or for changes, keep a `Compiler`. Raises CompileError
    for a policy that the tables cannot hold.
    """
    beside = FeedRules(feeds).rules()
    return Compiler(policy, membership, bindings, now).rules(view, now, restrictions, beside)


def meters(
    view: SwitchView, rate: int = layout.connection_rate(layout.CONNECTION_TABLE)
) -> tuple[Meter, ...]:
    """One meter per port, numbered as the port, so that a flood on one port does not suppress
    copies of others; and one per edge port for ``rate`` new connections a second."""
    copies = (
        Meter(port, layout.REPORT_RATE, layout.REPORT_BURST)
        for port in sorted({*view.ports, *view.trunks})
    )
    edges = sorted(set(view.ports) - view.trunks)
    return (*copies, *(Meter(layout.connection_meter(port), rate, rate) for port in edges))

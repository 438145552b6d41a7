"""From a policy to one switch's rules: `compile_switch`.

The compiler is pure: the same policy, bindings and view of the switch give the
same rules in the same order. `policies.layout` says what tables, registers and
cookies mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from policies import layout
from policies.compiler.base import base_rules, port_rules
from policies.compiler.hosts import declared_bindings, host_rules
from policies.compiler.identity import (
    CompileError,
    assign_codes,
    identity_rules,
    named_segments,
)
from policies.compiler.tiers import intent_numbers, intent_rules, restriction_rules
from policies.membership import Membership
from policies.model import Policy, Restriction
from policies.rules import Meter, Rule
from topology.records import Binding

__all__ = [
    "CompileError",
    "SwitchView",
    "compile_switch",
    "declared_bindings",
    "intent_numbers",
    "meters",
]


@dataclass(frozen=True, slots=True)
class SwitchView:
    """One switch as the fabric sees it.

    ``trunks`` are ports to other switches, ``next_ports`` the port towards each
    of them; every other port in ``ports`` is an edge port, where hosts are.
    """

    switch: int
    ports: tuple[int, ...] = ()
    trunks: frozenset[int] = frozenset()
    next_ports: Mapping[int, int] = field(default_factory=dict)


def compile_switch(
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    now: float,
    restrictions: Sequence[Restriction] = (),
) -> tuple[Rule, ...]:
    """All rules of one switch, sorted by table, priority (highest first) and match.

    Raises CompileError for a policy that the tables cannot hold.
    """
    intent_numbers(policy)
    regions = membership.regions()
    codes = assign_codes(named_segments(policy), regions)
    rules = chain(
        base_rules(layout.zone_of(view.switch)),
        port_rules(view.ports, view.trunks),
        host_rules(view.switch, bindings, view.next_ports, policy.defaults.infrastructure),
        identity_rules(policy, membership, codes),
        intent_rules(policy, codes, _together(frozenset(codes), membership), now),
        restriction_rules(restrictions, now),
    )
    unique = {rule.key: rule for rule in rules}
    return tuple(sorted(unique.values(), key=lambda rule: rule.sort_key))


def _together(names: frozenset[str], membership: Membership) -> dict[str, frozenset[str]]:
    """For each segment, the others that share an address with it."""
    shared: dict[str, set[str]] = {name: set() for name in names}
    for group in {region.segments & names for region in membership.regions()}:
        for name in group:
            shared[name] |= group
    return {name: frozenset(others) for name, others in shared.items()}


def meters(view: SwitchView) -> tuple[Meter, ...]:
    """One meter per port, numbered as the port: a flooder must not blind the others."""
    return tuple(
        Meter(port, layout.REPORT_RATE, layout.REPORT_BURST)
        for port in sorted({*view.ports, *view.trunks})
    )

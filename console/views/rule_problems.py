"""Problems of a policy on its switches: missing capabilities, and tables that are too small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from console.options.network import DescribedSwitches
from policies.compiler import CompileError, declared_bindings, intent_numbers
from policies.compiler.common.identity_codes import assign_codes, ends_of
from policies.compiler.common.refusals import (
    served_on_tagged_ports,
    shared_between_vlans,
    without_tracking,
)
from policies.compiler.targets import LOSSES, Overflow, RulesOfAll, SwitchTarget, overflows
from policies.language.errors import Diagnostic
from policies.model import NOWHERE, Policy, Source
from policies.review.placement import ranges
from policies.semantics.membership import Membership


@dataclass(frozen=True, slots=True)
class Fallback:
    """Switches without connection tracking, and what their rules lose."""

    target: SwitchTarget
    switches: tuple[int, ...]

    @property
    def losses(self) -> tuple[str, ...]:
        return LOSSES[self.target]


def fallbacks(policy: Policy, network: DescribedSwitches) -> tuple[Fallback, ...]:
    """The kinds of switches that lose something, each with its switches."""
    by_kind: dict[SwitchTarget, list[int]] = {}
    for switch in network.known(policy):
        by_kind.setdefault(network.setting(switch).target, []).append(switch)
    return tuple(
        Fallback(target, tuple(by_kind[target]))
        for target in SwitchTarget
        if target in by_kind and LOSSES[target]
    )


def rule_problems(
    policy: Policy, network: DescribedSwitches, table_size: int | None, now: float
) -> Iterator[Diagnostic]:
    """What would make the compiler refuse a policy that is otherwise right, what a switch will not
    do of it, and tables that are too small, with what fills them.

    ``table_size`` holds for tables that the settings say nothing of. A policy
    that declares no switch is compiled for one without hosts.
    """
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    start = _start(policy)
    switches = network.known(policy) or (1,)
    stateless = [s for s in switches if network.setting(s).target is not SwitchTarget.STATEFUL]
    yield from _not_done(policy, stateless)
    refused = [*shared_between_vlans(policy.hosts)]
    if len(stateless) < len(switches):
        refused += served_on_tagged_ports(policy.hosts)
    yield from (Diagnostic("error", "vlan", each.why, each.source) for each in refused)
    if refused:
        return
    try:
        intent_numbers(policy)
        if len(stateless) < len(switches):
            assign_codes(ends_of(policy.intents), membership.regions())
    except CompileError as problem:
        yield Diagnostic("error", "rules", str(problem), start)
        return
    sizes = {s: network.setting(s).sizes(network.setting(s).target, table_size) for s in switches}
    asked = [s for s in switches if s in stateless or sizes[s]]
    forms = network.settings.forms(asked)
    views = {switch: network.view(policy, switch) for switch in asked}
    compiler = RulesOfAll(forms, policy, membership, bindings, now)
    for switch, view in views.items():
        try:
            rules = compiler.rules(view)
        except CompileError as problem:
            where = network.setting(switch).source
            yield Diagnostic("error", "rules", f"switch {switch}: {problem}", where)
            continue
        for each in overflows(forms[switch].target, policy, rules, sizes[switch]):
            yield _too_small(policy, switch, each, start)


def _start(policy: Policy) -> Source:
    """The place to report when no single line is the cause."""
    sources = [each.source for each in policy.hosts] + [each.source for each in policy.intents]
    return sources[0] if sources else NOWHERE


def _too_small(policy: Policy, switch: int, overflow: Overflow, start: Source) -> Diagnostic:
    sources = {f"intent {intent.name}": intent.source for intent in policy.intents}
    where = next((sources[what] for what, _ in overflow.biggest if what in sources), start)
    most = ", ".join(f"{what} ({count})" for what, count in overflow.biggest)
    message = (
        f"switch {switch} needs {overflow.needed} rules in table {overflow.table}, "
        f"which holds {overflow.size}"
    )
    hint = f"most are for {most}"
    return Diagnostic("warning", "table-size", message, where, suggestion=hint)


def _not_done(policy: Policy, stateless: Sequence[int]) -> Iterator[Diagnostic]:
    """What the policy requires and switches without connection tracking cannot do."""
    if not stateless:
        return
    plural = "es" if len(stateless) > 1 else ""
    where = f"switch{plural} {ranges(stateless)} without connection tracking"
    for refusal in without_tracking(policy.intents):
        message = f"{where} cannot carry it out: {refusal.why}"
        yield Diagnostic("error", "helper", message, refusal.source)
    for intent in policy.intents:
        if intent.keep_established:
            message = f"'{intent.name}' cannot keep established connections on {where}"
            hint = "they are cut with the intent there"
            yield Diagnostic("warning", "plain-switch", message, intent.source, suggestion=hint)
    envelope = policy.envelope
    for action in () if envelope is None else envelope.actions:
        if envelope is not None and action in ("isolate", "rate_limit"):
            message = f"{action} has no effect on {where}"
            hint = "quarantine has"
            yield Diagnostic("warning", "plain-switch", message, envelope.source, suggestion=hint)

"""Difference of two policies in the rules of each switch."""

from __future__ import annotations

from collections.abc import Mapping

from policies.compiler import (
    Compiler,
    RuleChange,
    SwitchView,
    change_between,
    declared_bindings,
    view_rules,
)
from policies.compiler.targets import Form, RulesOfAll, SwitchTarget
from policies.model import Policy
from policies.semantics.membership import Membership


def rule_changes(
    old: Policy,
    new: Policy,
    views: Mapping[int, tuple[SwitchView, SwitchView]],
    now: float,
    forms: Mapping[int, Form] | None = None,
) -> dict[int, RuleChange]:
    """Rules to add and to remove on every switch of ``views``, which gives each as it is under
    the old and under the new policy; ``forms`` names those that do not track connections.

    Raises CompileError for a policy that the tables cannot hold.
    """
    before, after = (declared_bindings(policy) for policy in (old, new))
    members = Membership(old, before), Membership(new, after)
    plain = {s: f for s, f in (forms or {}).items() if f.target is not SwitchTarget.STATEFUL}
    changes = {}
    if tracking := {switch: pair for switch, pair in views.items() if switch not in plain}:
        compiler = Compiler(old, members[0], before, now)
        for view, _ in tracking.values():
            compiler.rules(view)
        update = compiler.update(new, members[1], after, now)
        for switch, (was, view) in tracking.items():
            own = change_between(view_rules(was), view_rules(view))
            changes[switch] = update.on(switch) + own
    olds = RulesOfAll(plain, old, members[0], before, now)
    news = RulesOfAll(plain, new, members[1], after, now)
    for switch in plain.keys() & views.keys():
        was, view = views[switch]
        changes[switch] = change_between(olds.rules(was), news.rules(view))
    return {switch: changes[switch] for switch in views}

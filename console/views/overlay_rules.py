"""All rules that a switch should have now: the policy's, and what the state directory adds."""

from __future__ import annotations

from console.clients.in_force import restrictions_of
from policies.compiler import Compiler, FeedRules, SwitchView, declared_bindings
from policies.model import Policy
from policies.rules.rule import Rule
from policies.semantics import retained_intents
from policies.semantics.membership import Membership
from response.state.store import Store


def overlay_rules(store: Store, policy: Policy, view: SwitchView, now: float) -> tuple[Rule, ...]:
    """The rules of one switch under the decisions, feeds and retained intents of a store."""
    restrictions = restrictions_of(store.active_decisions(now))
    feeds = FeedRules(listed.block for listed in store.feed_blocks())
    kept = retained_intents.read(store.meta(retained_intents.STORED_AS)).retained
    bindings = (*declared_bindings(policy), *store.bindings())
    compiler = Compiler(policy, Membership(policy, bindings), bindings, now, kept)
    return compiler.rules(view, now, restrictions, feeds.rules())

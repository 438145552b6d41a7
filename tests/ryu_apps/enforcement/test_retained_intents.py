"""`established: keep` in the running controller: kept, remembered, and given up when idle."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime

from policies.model import Intent
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, category_of
from policies.semantics.retained_intents import RetainedIntents
from ryu_apps.core import FLOW_REMOVED
from ryu_apps.effects import Save
from ryu_apps.openflow import messages
from tests.support.controller_rig import POLICY, READ, Rig
from tests.support.fake_switch import FakeSwitch

KEEP = replace(READ, keep_established=True)


def with_intents(*intents: Intent) -> Rig:
    return Rig(replace(POLICY, intents=intents))


def apply(rig: Rig, *intents: Intent) -> None:
    rig.carry_out(rig.core.apply_policy(replace(POLICY, intents=intents), (), rig.now))


def kept(switch: FakeSwitch) -> dict[tuple[int, int, bytes], tuple[int, int, bytes]]:
    return {
        key: rule for key, rule in switch.rules.items() if category_of(rule[0]) == Category.RETAINED
    }


def remembered(rig: Rig) -> RetainedIntents:
    saved = [e.retained for e in rig.effects if isinstance(e, Save) and e.retained is not None]
    return saved[-1]


def idle(rig: Rig, switch: FakeSwitch) -> None:
    """The switch ends its kept rules for want of traffic."""
    for (table, priority, match), (value, _, _) in kept(switch).items():
        del switch.rules[table, priority, match]
        head = struct.pack(
            "!QHBBIIHHQQ", value, priority, 0, table, 3600, 0, layout.RETAIN_IDLE, 0, 1, 100
        )
        buf = messages.message(FLOW_REMOVED, 0, head + match)
        rig.carry_out(rig.core.message(switch.number, FLOW_REMOVED, 0, buf, rig.now))


def test_a_removed_intent_leaves_one_rule_until_no_switch_uses_it() -> None:
    rig = with_intents(KEEP)
    switches = [rig.connect(1), rig.connect(2)]
    before = [dict(switch.rules) for switch in switches]
    assert not kept(switches[0])
    apply(rig)
    for switch in switches:
        ((table, priority, _),) = kept(switch)
        assert (table, priority < 12_000) == (RuleTable.POLICY, True)
    assert (
        remembered(rig).retained and rig.core.intent_names()[layout.name_number("read")] == "read"
    )
    idle(rig, switches[0])
    assert remembered(rig).retained and kept(switches[1])
    idle(rig, switches[1])
    rig.advance(0.1)
    assert not remembered(rig).retained
    apply(rig, KEEP)
    assert [switch.rules for switch in switches] == before


def test_what_says_cut_leaves_nothing() -> None:
    rig = with_intents(READ)
    switch = rig.connect()
    apply(rig)
    assert not kept(switch)


def test_it_survives_a_restart_even_one_with_another_policy() -> None:
    rig = with_intents(KEEP)
    switch = rig.connect()
    rig.advance(0.1)
    known = remembered(rig)
    again = with_intents()  # the policy was changed while nobody ran
    again.core.start((), (), (), (), known)
    again.connect(1, switch)
    assert kept(switch)
    rules, sent = dict(switch.rules), switch.flow_mods
    once_more = with_intents()
    once_more.core.start((), (), (), (), again.core.desired_state.policy_state.retained)
    once_more.connect(1, switch)
    assert (switch.rules, switch.flow_mods) == (rules, sent)


def test_near_its_end_an_intent_is_kept_beforehand() -> None:
    ends = datetime.fromtimestamp(1_000.0 + 100_000, UTC)
    rig = with_intents(replace(KEEP, expires=ends))
    switch = rig.connect()
    assert not kept(switch)
    rig.advance(40_000)
    assert kept(switch)

"""The controller's core against a switch in software: differences, decisions, discovery."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from policies.feed_block import FeedBlock
from policies.model import (
    TCP,
    Intent,
    Mode,
    Policy,
    Service,
)
from policies.rules import layout
from policies.rules.layout import (
    Category,
    DecidedBits,
    Reason,
    RuleTable,
    category_of,
    cookie,
    name_number,
)
from policies.rules.rule import Field, match
from response.ipc.messages import (
    Enforce,
    HostsChanged,
    RecordsSeen,
    Release,
    RulesConfirmed,
    SpoofsSeen,
    SwitchChanged,
)
from ryu_apps.core import FLOW_REMOVED, PACKET_IN
from ryu_apps.effects import Effect, Fault, Log, Save
from ryu_apps.enforcement.reconciler import CACHES_FOLLOW
from ryu_apps.enforcement.switch_lifecycle import SwitchLifecycle
from ryu_apps.openflow import messages
from ryu_apps.openflow.discovery_frames import DiscoveryFrame, lldp_frame
from ryu_apps.openflow.encode import field_bytes, match_bytes
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.session import RETRY_AFTER, SETTLE, Phase, Session
from ryu_apps.switch.table_reader import TIMEOUT as READ_TIMEOUT
from tests.support.controller_rig import HOLD, POLICY, PORTS, READ, WEB, Rig, arp, tcp, udp
from tests.support.discovery import cable
from tests.support.fake_switch import FakeSwitch


def test_a_fresh_switch_gets_everything_and_a_second_time_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    sent = switch.flow_mods
    assert sent == len(switch.rules) > 100
    assert rig.core.sessions[1].phase is Phase.READY
    again = Rig()
    again.connect(1, switch)
    assert switch.flow_mods == sent
    assert again.core.sessions[1].counters.flow_mods == 0
    assert any(
        "0 missing, 0 altered, 0 extra" in each.detail for each in again.messages(SwitchChanged)
    )


def test_a_foreign_rule_goes_and_a_counting_rule_stays() -> None:
    rig = Rig()
    switch = rig.connect()
    empty = match_bytes(())
    switch.rules[0, 7, empty] = (0, 0, b"")
    switch.rules[RuleTable.COUNT, 7, empty] = (cookie(Category.COUNT), 0, b"")
    Rig().connect(1, switch)
    assert (0, 7, empty) not in switch.rules
    assert (RuleTable.COUNT, 7, empty) in switch.rules


def test_one_intent_more_is_one_flow_mod_and_a_bad_policy_changes_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    before = switch.flow_mods
    more = Intent("more", ("db",), ("web",), (Service(TCP, 80, 80),))
    changed = Policy("p", POLICY.hosts, POLICY.segments, (), (READ, more), POLICY.defaults)
    rig.carry_out(rig.core.apply_policy(changed, (), rig.now))
    assert switch.flow_mods == before + 1
    rig.carry_out(rig.core.apply_policy(POLICY, (), rig.now))
    assert switch.flow_mods == before + 2


def test_a_decision_is_confirmed_and_its_undo_is_exact() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    (confirmed,) = rig.messages(RulesConfirmed)
    assert confirmed.decision == "d-1" and not confirmed.removed
    assert {rule.cookie for rule in confirmed.rules} == {cookie(Category.DECISION, 5)}
    assert len(switch.rules) == len(before) + 2
    rig.carry_out(rig.core.decisions.command(Release(HOLD, "a person"), rig.now))
    assert switch.rules == before
    assert rig.messages(RulesConfirmed)[-1].removed


def test_a_decision_outlives_the_switchs_restart_with_the_time_that_remains() -> None:
    rig = Rig()
    rig.connect()
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    rig.carry_out(rig.core.switch_down(1, rig.now))
    rig.now += 20
    fresh = rig.connect()
    held = [hard for value, hard, _ in fresh.rules.values() if category_of(value) == 6]
    assert held and all(35 <= hard <= 40 for hard in held)


def test_a_refused_bundle_is_reported_read_again_and_repaired() -> None:
    rig = Rig()
    switch = rig.connect()
    switch.refuse = True
    rig.carry_out(rig.core.decisions.command(Enforce(HOLD), rig.now))
    assert any(each.what == "failed" for each in rig.messages(SwitchChanged))
    assert not [1 for value, _, _ in switch.rules.values() if category_of(value) == 6]
    rig.advance(RETRY_AFTER)
    rig.advance(SETTLE)
    assert [1 for value, _, _ in switch.rules.values() if category_of(value) == 6]


def test_an_unanswered_read_is_repeated_never_taken_for_missing_rules() -> None:
    rig = Rig()
    rig.carry_out(rig.core.switch_up(1, ReportedPorts.of(PORTS), rig.now))
    rig.switches[1] = FakeSwitch(1)
    rig.advance(READ_TIMEOUT / 2)
    assert rig.core.sessions[1].phase.name == "ASKING"
    rig.advance(READ_TIMEOUT)
    rig.advance(SETTLE)
    assert rig.core.sessions[1].phase is Phase.READY


def test_a_host_is_learned_from_arp_and_remembered() -> None:
    rig = Rig()
    switch = rig.connect()
    before = len(switch.rules)
    rig.packet(1, Reason.GUARD, arp("00:00:00:00:00:09", "10.0.0.9", "10.0.0.1"), 3)
    assert [each.ip for each in rig.messages(HostsChanged)[-1].bindings][-1] == "10.0.0.9"
    assert any(isinstance(each, Save) and each.bindings for each in rig.effects)
    assert len(switch.rules) > before


def test_a_new_hosts_first_packet_waits_for_every_switch_and_its_caches() -> None:
    """Sent on too early, the answer would come back to a switch that does not know the way yet."""
    rig = Rig()
    here, there = rig.connect(1), rig.connect(2)
    sent = len(here.packet_outs)
    frame = arp("00:00:00:00:00:09", "10.0.0.9", "10.0.0.1")
    flags = Reason.GUARD << layout.REASON.low
    fields = match(Field("in_port", 3), Field("reg0", flags))
    body = struct.pack("!IHBBQ", 0xFFFFFFFF, len(frame), 0, 0, 0)
    body += match_bytes(tuple(field_bytes(field) for field in fields)) + b"\0\0" + frame
    buf = messages.message(PACKET_IN, 0, body)
    effects = rig.core.message(1, PACKET_IN, 0, buf, rig.now)
    for switch in (here, there):
        for kind, xid, answer in switch.take(effects):
            here.take(rig.core.message(switch.number, kind, xid, answer, rig.now))
        here.take(rig.core.tick(rig.now))
        assert len(here.packet_outs) == sent
    here.take(rig.core.tick(rig.now + CACHES_FOLLOW))
    assert len(here.packet_outs) == sent + 1


def test_a_spoof_is_reported_and_changes_nothing() -> None:
    rig = Rig()
    switch = rig.connect()
    before = dict(switch.rules)
    rig.packet(1, Reason.GUARD, arp("00:00:00:00:00:09", "10.0.0.2", "10.0.0.1"), 3)
    (spoofs,) = rig.messages(SpoofsSeen)
    assert "10.0.0.2 belongs to db" in spoofs.spoofs[0].reason
    assert switch.rules == before


def test_a_request_for_nobodys_address_is_evidence_and_goes_where_strangers_may_be() -> None:
    rig = Rig()
    switch = rig.connect()
    sent = len(switch.packet_outs)
    rig.packet(1, Reason.UNKNOWN_TARGET, arp(WEB.mac or "", "10.0.0.1", "10.0.0.99"), 1)
    (seen,) = rig.messages(RecordsSeen)
    assert (seen.records[0].proto, seen.records[0].state) == ("arp", "unanswered")
    assert len(switch.packet_outs) == sent + 1


def test_a_denied_connection_becomes_a_record_that_names_its_verdict() -> None:
    rig = Rig()
    rig.connect()
    rig.packet(1, Reason.DENIED, tcp("10.0.0.1", "10.0.0.2", 23), 1, outcome=DecidedBits.DENY)
    rig.packet(
        1,
        Reason.CONNECTION,
        tcp("10.0.0.1", "10.0.0.2", 22),
        1,
        outcome=DecidedBits.ALLOW,
        intent=name_number("read"),
    )
    denied, allowed = (message.records[0] for message in rig.messages(RecordsSeen))
    assert (denied.verdict, denied.state, denied.intent) == ("deny", "denied", None)
    assert (allowed.verdict, allowed.service, allowed.intent) == ("allow", "tcp/22", "read")


def test_what_is_left_of_an_old_connection_is_no_attempt() -> None:
    """A server's late segment comes back the other way, and policy denies it: nobody's fault."""
    rig = Rig()
    rig.connect()
    rig.packet(1, Reason.CONNECTION, tcp("10.0.0.1", "10.0.0.2", 22), 1, outcome=DecidedBits.ALLOW)
    late = tcp("10.0.0.2", "10.0.0.1", 40000, sport=22)
    finish = tcp("10.0.0.2", "10.0.0.9", 40000, sport=22, flags=0x11)
    for frame in (late, finish):
        rig.packet(1, Reason.DENIED, frame, 2, outcome=DecidedBits.DENY)
    assert len(rig.messages(RecordsSeen)) == 1
    assert rig.core.packet_in.flow_tracker.stragglers == 2
    probe = tcp("10.0.0.2", "10.0.0.9", 40000, sport=22)
    rig.packet(1, Reason.DENIED, probe, 2, outcome=DecidedBits.DENY)
    assert len(rig.messages(RecordsSeen)) == 2


def ended(reply: bool, packets: int) -> bytes:
    ends = ("10.0.0.2", "10.0.0.1", 22, 40000) if reply else ("10.0.0.1", "10.0.0.2", 40000, 22)
    flags = DecidedBits.ALLOW << layout.OUTCOME.low | (8 if reply else 0)
    fields = match(
        Field("eth_type", 0x800),
        Field("ip_proto", 17),
        Field("ip_src", int(ip_address(ends[0]))),
        Field("ip_dst", int(ip_address(ends[1]))),
        Field("udp_src", ends[2]),
        Field("udp_dst", ends[3]),
        Field("reg0", flags),
    )
    body = struct.pack(
        "!QHBBIIHHQQ",
        cookie(Category.COUNT),
        100,
        0,
        RuleTable.COUNT,
        20,
        0,
        15,
        0,
        packets,
        packets * 100,
    )
    return messages.message(
        FLOW_REMOVED, 0, body + match_bytes(tuple(field_bytes(field) for field in fields))
    )


def test_both_directions_of_an_ended_connection_are_one_record() -> None:
    rig = Rig()
    rig.connect()
    rig.packet(1, Reason.CONNECTION, udp("10.0.0.1", "10.0.0.2", 22), 1, outcome=DecidedBits.ALLOW)
    start = rig.messages(RecordsSeen)[0].records[0]
    for reply, packets in ((True, 4), (False, 5)):
        buf = ended(reply, packets)
        rig.carry_out(rig.core.message(1, FLOW_REMOVED, 0, buf, rig.now))
    end = rig.messages(RecordsSeen)[-1].records[0]
    assert (end.phase, end.ts, end.state) == ("end", start.ts, "established")
    assert (end.packets_out, end.packets_in, end.duration) == (6, 5, 5.0)


def test_a_connection_nobody_answered_ends_too() -> None:
    rig = Rig()
    rig.connect()
    rig.carry_out(rig.core.message(1, FLOW_REMOVED, 0, ended(False, 3), rig.now))
    rig.advance(30)
    (message,) = rig.messages(RecordsSeen)
    assert (message.records[0].state, message.records[0].packets_in) == ("unanswered", 0)


def test_links_are_found_and_survive_forgery() -> None:
    rig = Rig()
    rig.connect(1)
    rig.connect(2)
    made = DiscoveryFrame(1, 3, b"nonce678", rig.now)
    rig.packet(2, Reason.LINK, lldp_frame(made, bytes(6), b"wrong"), 3)
    assert not rig.core.network.fabric.links and rig.core.links.counters.forged == 1
    cable(rig, (1, 1), (2, 3))
    assert not rig.core.network.fabric.links, "a declared host's port is never a trunk"
    cable(rig, (1, 3), (2, 3))
    assert rig.core.network.fabric.next_ports(2) == {1: 3}
    rig.carry_out(rig.core.port_changed(1, 3, None, False, rig.now))
    assert rig.core.network.fabric.next_ports(2) == {}


@pytest.mark.parametrize("kind", [PACKET_IN, FLOW_REMOVED, 21, 19, 1])
def test_malformed_messages_are_counted_and_survived(kind: int) -> None:
    rig = Rig()
    rig.connect()
    for size in (8, 9, 16, 30, 60):
        buf = messages.message(kind, 1, b"\xff" * (size - 8))
        rig.carry_out(rig.core.message(1, kind, 1, buf, rig.now))
    assert rig.core.sessions[1].phase is Phase.READY


def test_a_record_names_the_decision_or_feed_that_denied_it() -> None:
    rig = Rig()
    rig.connect()
    rig.core.desired_state.decision_state.restore(
        [HOLD], [FeedBlock("drop", Mode.ENFORCE, ((0, -1),)), FeedBlock("look", Mode.AUDIT, ())]
    )
    adaptive = 1 << layout.BY_DECISION.low
    for port, marks, decision, feed in (
        (21, layout.QUARANTINED, HOLD.number, 0),
        (22, layout.ISOLATED, 77, 0),
        (23, layout.LISTED, 0, layout.name_number("drop")),
        (24, layout.LISTED, 0, 9),
    ):
        rig.packet(
            1, Reason.DENIED, tcp("10.0.0.1", "10.0.0.2", port), 1,
            outcome=DecidedBits.DENY, marks=adaptive | 1 << marks.low, decision=decision, feed=feed,
        )  # fmt: skip
    found = [each.decided_by for message in rig.messages(RecordsSeen) for each in message.records]
    assert found == [
        ("decision", HOLD.id), ("decision", "d77"), ("feed", "drop"), ("feed", "number 9"),
    ]  # fmt: skip


def test_a_mark_that_another_tier_overrode_does_not_decide() -> None:
    """An emergency intent passes a quarantined host: the mark is there, the verdict is not its."""
    rig = Rig()
    rig.connect()
    rig.packet(
        1, Reason.CONNECTION, tcp("10.0.0.1", "10.0.0.2", 22), 1, intent=layout.name_number("read"),
        outcome=DecidedBits.ALLOW, marks=1 << layout.QUARANTINED.low, decision=5,
    )  # fmt: skip
    ((record,),) = (message.records for message in rig.messages(RecordsSeen))
    assert record.decided_by == ("intent", "read")


@pytest.mark.threat("heartbeat")
def test_a_switch_whose_turn_raises_costs_no_other_one_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    rig.connect(), rig.connect(2)
    tick = SwitchLifecycle.tick

    def faulty(self: SwitchLifecycle, session: Session, now: float) -> list[Effect]:
        if session.switch == 1:
            raise RuntimeError("odd")
        return [*tick(self, session, now), Log(20, f"switch {session.switch}")]

    monkeypatch.setattr(SwitchLifecycle, "tick", faulty)
    effects = rig.core.tick(rig.now + 1)
    (fault,) = (each for each in effects if isinstance(each, Fault))
    assert (fault.place, str(fault.error)) == ("turn of a switch", "odd")
    assert Log(20, "switch 2") in effects

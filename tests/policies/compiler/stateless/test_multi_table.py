"""Stateless rules, run in software: a packet passes as the first of a connection that the policy
forwards, or as the reply of one, and not otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import CompileError, SwitchView, declared_bindings
from policies.compiler.common.identity_codes import METADATA, Ends, codes_of
from policies.compiler.probe_packets import binding_of, packet_of
from policies.compiler.stateless.metadata import SOURCE, TARGET, matches, written
from policies.compiler.stateless.multi_table import stateless_rules
from policies.model import (
    ANY,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    Action,
    Connection,
    Defaults,
    Intent,
    Mode,
    Policy,
    Restriction,
    Service,
    Tier,
)
from policies.rules.layout import StatelessTable
from policies.rules.rule import Commit, CopyToController, Learn, Load, Move, Resubmit, Rule, Track
from policies.rules.simulator import Interpreter, Passage
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from tests.support.random_policies import HOSTS, NOW, connections, policies
from topology.fabric import Fabric
from topology.records import Link

FABRIC = Fabric.of([Link(1, 9, 2, 9)])
QUESTIONS = {ICMP: {0: 8, 14: 13, 16: 15, 18: 17}, ICMPV6: {129: 128}}


HELD_ADDRESS = (Restriction(7, "quarantine", HOSTS[0].ips, NOW + 60),)
HELD_PORT = (Restriction(7, "quarantine", (), NOW + 60, ((2, 1),)),)


def rules_of(policy: Policy, switch: int, held: Sequence[Restriction] = ()) -> tuple[Rule, ...]:
    bindings = declared_bindings(policy)
    ports = tuple(sorted({b.port for b in bindings if b.switch == switch}))
    view = SwitchView(switch, ports, FABRIC.trunks(switch), FABRIC.next_ports(switch))
    return stateless_rules(policy, Membership(policy), view, bindings, NOW, held)


def travel(
    switches: dict[int, Interpreter], policy: Policy, asked: Connection, *, reply: bool
) -> tuple[bool, Passage]:
    """Whether a packet arrives, and its last passage. Nothing tracks connections here."""
    bindings = declared_bindings(policy)
    sender, receiver = (binding_of(str(end), bindings) for end in (asked.src, asked.dst))
    assert sender is not None and receiver is not None
    start, goal = (receiver, sender) if reply else (sender, receiver)
    at, port = start.switch, start.port
    while True:
        packet = packet_of(asked, sender, receiver, in_port=port, reply=reply)
        passage = switches[at].run(packet, 0)
        if not passage.outputs:
            return False, passage
        (out,) = passage.outputs
        if (at, out) == (goal.switch, goal.port):
            return True, passage
        assert out == 9
        at, port = 3 - at, 9


def reversed_of(asked: Connection) -> Connection | None:
    """The connection that this packet, sent from port 49152, would be a reply of."""
    src, dst, proto = asked.dst, asked.src, asked.proto
    if proto in (TCP, SCTP) and asked.port < 1024:
        return None
    if proto in (TCP, UDP, SCTP):
        return Connection(src, dst, proto, 49_152)
    if proto in QUESTIONS:
        if asked.port in QUESTIONS[proto].values():
            return None
        return Connection(src, dst, proto, QUESTIONS[proto].get(asked.port, asked.port))
    return Connection(src, dst, proto)


@settings(max_examples=120, deadline=None)
@given(policies(), connections(), st.sampled_from([(), HELD_ADDRESS, HELD_PORT]))
def test_a_packet_passes_as_a_first_one_or_as_a_reply(
    policy: Policy, asked: Connection, held: tuple[Restriction, ...]
) -> None:
    switches = {switch: Interpreter(rules_of(policy, switch, held)) for switch in (1, 2)}
    judge = Judge(policy, Membership(policy))
    wanted = judge.verdict(asked, NOW, held)
    answered = reversed_of(asked)
    expected = wanted.forwarded or (
        answered is not None and judge.verdict(answered, NOW, held).forwarded
    )
    arrived, _ = travel(switches, policy, asked, reply=False)
    assert arrived == expected
    if wanted.forwarded:
        back, _ = travel(switches, policy, asked, reply=True)
        assert back, "replies of what is forwarded pass"


def test_nothing_beyond_plain_openflow_is_used() -> None:
    policy = Policy("p", HOSTS, (), (), (Intent("all", (ANY,), (ANY,), (Service(),)),))
    extensions = (Load, Move, Learn, Track, Commit, Resubmit, CopyToController)
    for rule in rules_of(policy, 1):
        assert not any(isinstance(action, extensions) for action in rule.actions)
        assert not any(f.name.startswith(("reg", "ct_", "xx")) for f in rule.match)
        targets = [a.table for a in rule.actions if hasattr(a, "table")]
        assert all(table > rule.table for table in targets)
    assert max(rule.table for rule in rules_of(policy, 1)) == StatelessTable.FORWARD


def test_a_stream_to_a_low_port_is_never_a_reply() -> None:
    everything = Intent("all", (ANY,), (ANY,), (Service(),))
    shut = Intent("shut", (ANY,), (ANY,), (Service(TCP, 22, 22),), Action.DENY, Tier.SECURITY)
    policy = Policy("p", HOSTS, (), (), (everything, shut), Defaults(mode=Mode.ENFORCE))
    switches = {switch: Interpreter(rules_of(policy, switch)) for switch in (1, 2)}
    for port, arrives in ((22, False), (23, True), (2222, True)):
        asked = Connection(HOSTS[0].ips[0], HOSTS[1].ips[0], TCP, port)
        assert travel(switches, policy, asked, reply=False)[0] == arrives


@pytest.mark.thorough
def test_too_many_overlapping_segments_are_refused_with_a_reason() -> None:
    names = frozenset(f"s{number}" for number in range(300))
    groups = [sorted(names)[start : start + 100] for start in (0, 100, 200)]
    together = {
        name: {name, *(other for group in groups for other in group if name not in group)}
        for group in groups
        for name in group
    }
    codes_of(Ends(names), together, METADATA)
    wide = frozenset(f"s{number}" for number in range(1200))
    everyone = {
        name: {name, *(o for o in wide if int(o[1:]) % 4 != int(name[1:]) % 4)} for name in wide
    }
    with pytest.raises(CompileError, match="has 27 bits .* need 36; merge"):
        codes_of(Ends(wide), everyone, METADATA)


def test_ports_without_masks_are_written_out() -> None:
    intent = Intent("range", (ANY,), (ANY,), (Service(TCP, 1000, 1009),))
    policy = Policy("p", HOSTS, (), (), (intent,))
    view = SwitchView(1)
    sizes = [
        sum(
            rule.table == StatelessTable.POLICY
            for rule in stateless_rules(policy, Membership(policy), view, (), NOW, port_masks=masks)
        )
        for masks in (True, False)
    ]
    assert sizes[1] - sizes[0] == 2 * (10 - 2)


def test_lists_have_a_bit_for_as_long_as_there_are_bits() -> None:
    segments = tuple(f"s{number}" for number in range(100))
    together = {name: {name} for name in segments}
    listed = tuple(frozenset(segments[first : first + 60]) for first in range(40))
    codes = codes_of(Ends(frozenset(), listed), together, METADATA)
    kept = [names for names in listed if len(list(matches(codes, names, (ANY,)))) == 1]
    # A hundred segments that never meet take seven of the 27 bits.
    assert kept == list(listed[:20])
    (value, mask), *rest = matches(codes, sorted(listed[0]), sorted(listed[1]))
    assert not rest
    for name, other in (("s0", "s1"), ("s59", "s60"), ("s30", "s30")):
        bits = [
            written(end, codes, {each}, Mode.ENFORCE)[0]
            for end, each in ((SOURCE, name), (TARGET, other))
        ]
        assert (bits[0] | bits[1]) & mask == value
    outside = (
        written(SOURCE, codes, {"s60"}, Mode.ENFORCE)[0]
        | written(TARGET, codes, {"s1"}, Mode.ENFORCE)[0]
    )
    assert outside & mask != value

"""`established: keep`: what an intent that is gone leaves to the connections it let in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import Compiler, FeedRules, SwitchView, declared_bindings
from policies.compiler.probe_packets import binding_of, packet_of
from policies.feed_block import FeedBlock
from policies.model import ANY, TCP, Action, Connection, Intent, Policy, Restriction, Service, Tier
from policies.rules import layout
from policies.rules.layout import Category, category_of, name_number
from policies.rules.simulator import Interpreter
from policies.semantics import retained_intents
from policies.semantics.feed_listings import Listings
from policies.semantics.membership import Membership
from policies.semantics.retained_intents import RetainedIntents, in_force, retained_after
from policies.semantics.verdict import Judge
from tests.support.random_policies import (
    HOSTS,
    NAMES,
    NOW,
    SERVICES,
    connections,
    ends,
    feed_blocks,
    policies,
    restrictions,
)
from tests.support.shop import FABRIC, READ, shop

OPEN, OPEN_REPLY = 0x22, 0x2A  # ct_state: tracked, established, and the reply of such
KEEP = replace(READ, keep_established=True)

kept_intents = st.lists(
    st.builds(
        lambda name, sources, targets, services: Intent(
            name, sources, targets, tuple(services), keep_established=True
        ),
        st.sampled_from(["gone-1", "gone-2"]),
        st.one_of(ends, st.just(("vanished",))),
        ends,
        st.lists(st.sampled_from(SERVICES), min_size=1, max_size=2, unique=True),
    ),
    max_size=3,
).map(tuple)


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(
    policies(),
    connections(),
    kept_intents,
    st.sampled_from(["gone-1", "gone-2", "other"]),
    restrictions(),
    feed_blocks(),
)
def test_kept_rules_say_what_the_verdict_says(
    policy: Policy,
    connection: Connection,
    kept: tuple[Intent, ...],
    mark: str,
    held: tuple[Restriction, ...],
    feeds: tuple[FeedBlock, ...],
) -> None:
    """For both directions of an open connection, and for a new one, which they never let in."""
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    compiler = Compiler(policy, membership, bindings, NOW, kept)
    sender, receiver = (
        binding_of(str(each), bindings) for each in (connection.src, connection.dst)
    )
    assert sender is not None and receiver is not None
    switches = {}
    for number in {sender.switch, receiver.switch}:
        view = SwitchView(
            number,
            tuple(sorted({b.port for b in bindings if b.switch == number})),
            FABRIC.trunks(number),
            FABRIC.next_ports(number),
        )
        rules = compiler.rules(view, NOW, held, FeedRules(feeds).rules())
        switches[number] = Interpreter(rules)
    judge = Judge(policy, membership)
    mine = [each for each in kept if each.name == mark]

    def outcome(state: int, admitted: list[Intent]) -> None:
        wanted = judge.judge(
            membership.segments_of(connection.src),
            membership.segments_of(connection.dst),
            connection,
            NOW,
            held,
            listings=Listings(feeds),
            admitted=admitted,
        )
        reply = state == OPEN_REPLY
        start = receiver if reply else sender  # a held port is held by its own switch
        packet = packet_of(connection, sender, receiver, in_port=start.port, reply=reply)
        passage = switches[start.switch].run(packet | {"ct_mark": name_number(mark)}, state)
        assert bool(passage.outputs) == wanted.forwarded
        number = 0 if wanted.intent is None else name_number(wanted.intent)
        assert passage.fields.get("reg1", 0) == number

    outcome(OPEN, mine)
    outcome(OPEN_REPLY, mine)
    outcome(0x21, [])


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def follow(*steps: tuple[Policy, float]) -> tuple[Intent, ...]:
    """What is kept after some policies, each in force from its moment on."""
    known = RetainedIntents()
    for policy, moment in steps:
        now = NOW + moment
        known = RetainedIntents(
            in_force(policy, now), retained_after(known.in_force, policy, known.retained, now)
        )
        assert retained_intents.read(retained_intents.written(known)) == known
    return known.retained


def test_an_intent_is_kept_when_it_goes_or_covers_less_and_only_if_it_says_so() -> None:
    fewer = replace(KEEP, services=(Service(TCP, 23, 23),))
    more = replace(KEEP, services=(Service(TCP, 20, 30),))
    everybody = replace(KEEP, sources=(ANY,))
    deny = replace(KEEP, action=Action.DENY)
    assert follow((shop(KEEP), 0), (shop(), 1)) == (KEEP,)
    assert follow((shop(KEEP), 0), (shop(fewer), 1)) == (KEEP,)
    assert follow((shop(KEEP), 0), (shop(deny), 1)) == (KEEP,)
    assert follow((shop(everybody), 0), (shop(KEEP), 1)) == (everybody,)
    for same in (KEEP, more, everybody, replace(KEEP, tier=Tier.SECURITY)):
        assert follow((shop(KEEP), 0), (shop(same), 1)) == ()
    assert follow((shop(READ), 0), (shop(), 1)) == ()


def test_it_ends_when_the_intent_comes_back_or_says_cut() -> None:
    gone = (shop(KEEP), 0.0), (shop(), 1.0)
    assert follow(*gone, (shop(KEEP), 2)) == ()
    assert follow(*gone, (shop(READ), 2)) == ()
    assert follow(*gone, (shop(), 2)) == (KEEP,)


def test_an_intent_that_expires_is_kept_before_its_end_and_after() -> None:
    soon = replace(KEEP, expires=at(100))
    late = replace(KEEP, expires=at(1_000_000))
    assert follow((shop(late), 0)) == ()
    assert follow((shop(soon), 0)) == follow((shop(soon), 0), (shop(soon), 200)) == (soon,)
    assert follow((shop(soon), 0), (shop(soon), 200), (shop(), 300)) == (soon,)
    assert follow((shop(soon), 200)) == (), "nobody was let in by it"


def test_rules_before_the_end_have_no_timer_and_after_it_the_switch_s_own() -> None:
    soon = replace(KEEP, expires=at(100))
    policy = shop(soon)
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    compiler = Compiler(policy, membership, bindings, NOW, (soon,))
    view = SwitchView(1, (2, 4, 6), FABRIC.trunks(1), FABRIC.next_ports(1))

    def timers() -> set[int]:
        rules = compiler.rules(view, NOW)
        return {r.idle_timeout for r in rules if category_of(r.cookie) == Category.RETAINED}

    assert timers() == {0}
    update = compiler.update(policy, membership, bindings, NOW + 101, (soon,))
    assert timers() == {layout.RETAIN_IDLE}
    assert {r.idle_timeout for r in update.everywhere.added} == {layout.RETAIN_IDLE}
    compiler.update(policy, membership, bindings, NOW + 102, ())
    assert timers() == set()


def test_whose_segments_are_gone_is_known_by_the_mark_alone() -> None:
    policy = replace(shop(), segments=())
    kept = (replace(KEEP, sources=("web",), targets=("db",)),)
    bindings = declared_bindings(policy)
    judge = Judge(policy, Membership(policy, bindings))
    asked = Connection(HOSTS[0].ips[0], HOSTS[5].ips[0], TCP, 22)
    none = frozenset[str]()
    assert judge.judge(none, none, asked, NOW, admitted=kept).intent == "read"
    other = replace(asked, port=23)
    assert judge.judge(none, none, other, NOW, admitted=kept).intent is None
    assert set(NAMES).isdisjoint({"web", "db"})

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replace_record

from policies.model import Adapt, Envelope
from response.decision import MAX_TTL, Decision
from response.decisions.action_table import TABLE, Row, choose
from response.decisions.envelope import judge_envelope, share_limit
from response.decisions.hearsay import hearsay_of
from response.decisions.host_addresses import KnownHost
from tests.support.street import Segments, make_alert
from topology.records import FlowRecord

WEB = frozenset(f"10.0.0.{n}" for n in range(1, 11))
ENVELOPE = Envelope(actions=("alert", "quarantine", "rate_limit"), max_hosts=3, max_share=0.2)


def host(*addresses: str, routes: bool = False) -> KnownHost:
    return KnownHost(f"h-{addresses[0]}", addresses, True, routes)


def blocked(number: int, *addresses: str, action: str = "quarantine") -> Decision:
    return Decision(
        f"d{number}", number, 0.0, action, f"h-{addresses[0]}", addresses, "host", "active",  # type: ignore[arg-type]
        900, "a", "why", "if", "septum",
    )  # fmt: skip


def members(adapt: Adapt = Adapt.AUTO, protected: frozenset[str] = frozenset()) -> Segments:
    return Segments({"web": WEB}, {"web": adapt}, protected)


def test_within_the_envelope_it_acts_for_the_ttl() -> None:
    judged = judge_envelope("quarantine", host("10.0.0.1"), ENVELOPE, members(), ())
    assert (judged.outcome, judged.ttl) == ("active", 900)


@pytest.mark.parametrize(
    ("adapt", "outcome"),
    [
        (Adapt.OFF, "alert"),
        (Adapt.ALERT, "alert"),
        (Adapt.PROPOSE, "proposed"),
        (Adapt.AUTO, "active"),
    ],
)
def test_adapt_says_how_far(adapt: Adapt, outcome: str) -> None:
    judged = judge_envelope("quarantine", host("10.0.0.1"), ENVELOPE, members(adapt), ())
    assert judged.outcome == outcome


def test_the_most_cautious_segment_of_any_address_counts() -> None:
    overlapping = Segments(
        {"web": WEB, "v6": frozenset({"fd00::1"})}, {"web": Adapt.AUTO, "v6": Adapt.PROPOSE}
    )
    judged = judge_envelope("quarantine", host("10.0.0.1", "fd00::1"), ENVELOPE, overlapping, ())
    assert judged.outcome == "proposed"
    assert "v6" in judged.reason


def test_no_envelope_and_no_segment_only_alert() -> None:
    target = host("10.0.0.1")
    assert judge_envelope("quarantine", target, None, members(), ()).outcome == "alert"
    stranger = judge_envelope("quarantine", host("192.0.2.1"), ENVELOPE, members(), ())
    assert stranger.outcome == "alert"
    assert "no segment" in stranger.reason


def test_an_action_that_the_policy_does_not_name_only_alerts() -> None:
    assert judge_envelope("isolate", host("10.0.0.1"), ENVELOPE, members(), ()).outcome == "alert"


def test_a_host_with_one_protected_address_is_protected_whole() -> None:
    guarded = members(protected=frozenset({"fd00::1"}))
    judged = judge_envelope("quarantine", host("10.0.0.1", "fd00::1"), ENVELOPE, guarded, ())
    assert judged.outcome == "alert"
    assert "protected" in judged.reason


def test_the_share_of_a_segment_becomes_a_proposal() -> None:
    one, two = blocked(1, "10.0.0.2"), blocked(2, "10.0.0.3")
    first = judge_envelope("quarantine", host("10.0.0.1"), ENVELOPE, members(), (one,))
    second = judge_envelope("quarantine", host("10.0.0.1"), ENVELOPE, members(), (one, two))
    assert first.outcome == "active"  # 0.2 of ten hosts is two
    assert second.outcome == "proposed"
    assert "max_share" in second.reason


def test_max_hosts_counts_all_segments_together() -> None:
    elsewhere = [blocked(n, f"192.0.2.{n}") for n in range(3)]
    judged = judge_envelope("quarantine", host("10.0.0.1"), ENVELOPE, members(), elsewhere)
    assert judged.outcome == "proposed"
    assert "max_hosts" in judged.reason


def test_a_rate_limit_neither_counts_nor_is_counted() -> None:
    limited = [blocked(n, f"10.0.0.{n + 2}", action="rate_limit") for n in range(5)]
    assert (
        judge_envelope("quarantine", host("10.0.0.1"), ENVELOPE, members(), limited).outcome
        == "active"
    )
    full = [blocked(n, f"10.0.0.{n + 2}") for n in range(3)]
    assert (
        judge_envelope("rate_limit", host("10.0.0.1"), ENVELOPE, members(), full).outcome
        == "active"
    )


def test_hold_a_persons_undo_and_routers_ask_a_person() -> None:
    target = host("10.0.0.1")
    held = judge_envelope("quarantine", target, ENVELOPE, members(), (), hold="ana")
    undone = judge_envelope("quarantine", target, ENVELOPE, members(), (), overridden_by="ben")
    router = judge_envelope("quarantine", replace(target, routes=True), ENVELOPE, members(), ())
    assert [j.outcome for j in (held, undone, router)] == ["proposed"] * 3
    assert "ana" in held.reason
    assert "ben" in undone.reason


def test_the_ttl_never_passes_the_switchs_timer() -> None:
    long = replace(ENVELOPE, ttl=10**9)
    judged = judge_envelope("quarantine", host("10.0.0.1"), long, members(), ())
    assert judged.ttl == MAX_TTL


@given(st.integers(0, 10_000), st.integers(0, 100))
def test_shares_are_rounded_down_but_never_to_none(hosts: int, percent: int) -> None:
    assert share_limit(hosts, percent / 100) == max(1, Fraction(percent, 100) * hosts // 1)


ADDRESSES = [f"10.0.0.{n}" for n in range(12)]
subsets = st.frozensets(st.sampled_from(ADDRESSES))


@st.composite
def networks(draw: st.DrawFn) -> tuple[Segments, Envelope, list[KnownHost]]:
    names = ["a", "b", "c"]
    segments = Segments(
        {name: draw(subsets) for name in names},
        {name: draw(st.sampled_from(Adapt)) for name in names},
        draw(subsets),
    )
    actions = ("quarantine", "isolate", "rate_limit")
    envelope = Envelope(
        actions=tuple(draw(st.sets(st.sampled_from(actions)))),
        max_hosts=draw(st.integers(0, 5)),
        max_share=draw(st.sampled_from([0.01, 0.2, 0.5, 1.0])),
        ttl=draw(st.integers(1, 10**6)),
    )
    cuts = sorted(draw(st.sets(st.integers(1, 11), max_size=8)) | {0, 12})
    hosts = [host(*ADDRESSES[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    return segments, envelope, hosts


@given(networks(), st.data())
@settings(max_examples=200)
def test_no_sequence_of_alerts_gets_beyond_the_envelope(
    network: tuple[Segments, Envelope, list[KnownHost]], data: st.DataObject
) -> None:
    """Whoever an attacker makes look guilty, in whatever order: what is blocked at once
    stays within what the policy promised."""
    segments, envelope, hosts = network
    active: list[Decision] = []
    for number in range(data.draw(st.integers(1, 15))):
        target = data.draw(st.sampled_from(hosts))
        action = data.draw(st.sampled_from(["quarantine", "isolate", "rate_limit"]))
        if any(d.target == target.name for d in active):
            continue
        judged = judge_envelope(action, target, envelope, segments, active)  # type: ignore[arg-type]
        if judged.outcome != "active":
            continue
        assert judged.ttl <= min(envelope.ttl, MAX_TTL)
        active.append(blocked(number, *target.addresses, action=action))
    blocks = [d for d in active if d.action != "rate_limit"]
    touched = {address for d in active for address in d.addresses}
    assert not touched & segments.protected
    assert len(blocks) <= envelope.max_hosts
    assert {d.action for d in active} <= set(envelope.actions)
    for name, held in segments.members.items():
        here = [d for d in active if held & set(d.addresses)]
        assert not here or segments.adapt[name] is Adapt.AUTO
        blocked_here = sum(d in blocks for d in here)
        assert blocked_here <= share_limit(len(held), envelope.max_share)


def test_the_table_is_read_from_the_top_and_passes_over_what_is_not_allowed() -> None:
    table = (Row(0.999, 2, "quarantine"), Row(0.999, 0, "isolate"), Row(0.99, 0, "rate_limit"))
    strong = make_alert("10.0.0.1")
    weak = replace(strong, score=0.992)
    short = replace(strong, path=strong.path[:1])
    every = ("quarantine", "isolate", "rate_limit")
    assert choose(strong, every, table) == "quarantine"
    assert choose(short, every, table) == "isolate"
    assert choose(weak, every, table) == "rate_limit"
    assert choose(strong, ("rate_limit",), table) == "rate_limit"
    assert choose(strong, ("alert",), table) == "alert"
    assert choose(replace(strong, score=0.5), every, table) == "alert"
    assert table == TABLE


def test_what_exporters_of_flows_say_alone_is_proposed() -> None:
    seen = FlowRecord(1.0, "10.0.0.1", "10.0.0.2", "tcp", 1, 22)
    told = replace_record(seen, exporter="192.0.2.1")
    other = replace_record(seen, exporter="192.0.2.2")
    trusting = replace(ENVELOPE, trusted_exporters=(ip_address("192.0.2.2"),))
    assert hearsay_of((told, other, told), ENVELOPE) == ("192.0.2.1", "192.0.2.2")
    assert hearsay_of((told, told, seen), ENVELOPE) == ("192.0.2.1",)
    assert hearsay_of((told, seen, seen), ENVELOPE) == hearsay_of((), ENVELOPE) == ()
    assert hearsay_of((told,), trusting) == ("192.0.2.1",)
    assert hearsay_of((told, other, other), trusting) == ()
    judged = judge_envelope(
        "quarantine", host("10.0.0.1"), ENVELOPE, members(), (), hearsay=("192.0.2.1",)
    )
    assert judged.outcome == "proposed" and "192.0.2.1" in judged.reason

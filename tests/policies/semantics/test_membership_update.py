"""A membership that follows a change is the one that would be made anew."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.model import Host, Policy, Segment, Selector
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.sequence_diff import differences
from topology.records import Binding

ADDRESSES = (
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "10.0.1.2",
    "fd00::1",
    "fd00::2",
    "fe80::5",
    "fe80::ff:fe00:3",
)
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03")
NAMES = ("a", "b", "c")


def hosts_named(name: str) -> st.SearchStrategy[Host]:
    return st.builds(
        lambda mac, ips, port, role: Host(
            name,
            mac,
            tuple(ip_address(ip) for ip in ips),
            None if port is None else 1,
            port,
            labels=(("role", role),),
        ),
        st.sampled_from([None, *MACS]),
        st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True),
        st.sampled_from([None, 1, 2]),
        st.sampled_from("xy"),
    )


hosts = st.lists(st.sampled_from(NAMES), unique=True).flatmap(
    lambda names: st.tuples(*(hosts_named(name) for name in names))
)
bindings = st.lists(
    st.builds(
        Binding,
        st.sampled_from(MACS),
        st.sampled_from(ADDRESSES),
        st.just(1),
        st.integers(1, 3),
        st.sampled_from([None, None, *NAMES]),
    ),
    max_size=4,
    unique=True,
).map(tuple)
selectors = st.sampled_from(
    [
        Selector(labels=(("role", "x"),)),
        Selector(labels=(("role", "y"),), cidr=ip_network("10.0.0.0/24")),
        Selector(host="b"),
        Selector(switch=1, port=2),
        Selector(cidr=ip_network("10.0.0.0/16"), excepts=(ip_network("10.0.1.0/31"),)),
        Selector(cidr=ip_network("10.0.1.1/32")),
        Selector(cidr=ip_network("fd00::/64")),
        Selector(cidr=ip_network("fe80::/10")),
    ]
)
segments = st.tuples(
    *(
        st.lists(selectors, min_size=1, max_size=3).map(
            lambda members, name=name: Segment(name, tuple(members))  # type: ignore[misc]
        )
        for name in ("s", "t", "u")
    )
)


@pytest.mark.thorough
@settings(max_examples=200, deadline=None)
@given(segments, st.lists(st.tuples(hosts, bindings), min_size=2, max_size=4))
def test_following_is_making_anew(
    declared: tuple[Segment, ...], steps: list[tuple[tuple[Host, ...], tuple[Binding, ...]]]
) -> None:
    policy = Policy("p", steps[0][0], declared)
    membership = Membership(policy, steps[0][1])
    for some, bound in steps[1:]:
        policy = replace(policy, hosts=some)
        before, membership = membership, follow(membership, policy, bound)
        anew = Membership(policy, bound)
        assert membership.spans == anew.spans
        for segment in declared:
            assert membership.hosts_in(segment.name) == anew.hosts_in(segment.name)
            for selector in segment.members:
                found = membership.addresses_of(selector)
                assert set(found) == set(anew.addresses_of(selector))
                assert membership.selects_a_host(selector) == anew.selects_a_host(selector)
        changes = membership.changes_since(before)
        assert {k: v for k, v in {**before.spans, **changes}.items() if v is not None} == anew.spans


@pytest.mark.parametrize("ip", ["fe80::5", "fe80::ff:fe00:9"])
def test_an_address_that_two_hosts_have_keeps_the_segments_of_both(ip: str) -> None:
    """Link-local ones too, formed from a MAC or not, declared or bound."""
    segments = tuple(Segment(role, (Selector(labels=(("role", role),)),)) for role in "xy")
    one, other = (
        Host(name, mac, (ip_address(address),), labels=(("role", role),))
        for name, mac, address, role in (
            ("a", MACS[0], "10.0.0.1", "x"),
            ("b", MACS[1], ip, "y"),
        )
    )
    bound = (Binding(MACS[0], ip, 1, 1, "a"),)
    alone = Policy("p", (one,), segments)
    before = follow(Membership(Policy("p", (), segments), bound), alone, bound)
    assert before.segments_of(ip) == {"x"}
    both = Policy("p", (one, other), segments)
    assert follow(before, both, bound).segments_of(ip) == {"x", "y"}
    assert Membership(both, bound).segments_of(ip) == {"x", "y"}


def test_other_segments_start_anew() -> None:
    policy = Policy("p", (), (Segment("s", (Selector(cidr=ip_network("10.0.0.0/8")),)),))
    other = replace(policy, segments=())
    assert follow(Membership(policy), other, ()).spans == {}


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_differences_are_what_the_one_or_the_other_has_more_of(
    old: list[int], new: list[int]
) -> None:
    gone, come = differences(old, new)
    assert not set(gone) & set(come)
    assert sorted([*old, *come]) == sorted([*new, *gone])

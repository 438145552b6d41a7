from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.model import (
    Connection,
    Defaults,
    Host,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
)
from policies.review.blast_radius import BlastRadius, blast_radius
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from tests.support.random_policies import HOSTS, NOW, SERVICES, policies
from topology.addresses import link_local
from topology.records import Binding


def reachable(policy: Policy) -> dict[tuple[str, str], set[tuple[int, int, int]]]:
    """Host by host and service by service, at every port where an answer can change."""
    judge = Judge(policy, Membership(policy))
    kinds = {(0, 0), (200, 0)}
    for service in SERVICES:
        if service.proto is not None:
            low, high = service.low or 0, 255 if service.high is None else service.high
            kinds |= {(service.proto, port) for port in (0, low, high, high + 1)}
    held = {
        host.name: (*host.ips, *([link_local(host.mac)] if host.mac else ()))
        for host in policy.hosts
    }
    found: dict[tuple[str, str], set[tuple[int, int, int]]] = {}
    for one, other in permutations(policy.hosts, 2):
        passing: set[tuple[int, int, int]] = {
            (int(a.version), *kind)
            for a, b in product(held[one.name], held[other.name])
            if a.version == b.version
            for kind in kinds
            if judge.verdict(Connection(a, b, *kind), NOW).forwarded
        }
        if passing:
            found[one.name, other.name] = passing
    return found


@pytest.mark.thorough
@settings(max_examples=40)
@given(policies(), policies(), st.integers(3, 6))
def test_by_class_is_as_host_by_host(old: Policy, new: Policy, left: int) -> None:
    new = replace(new, hosts=HOSTS[:left])
    before, after = reachable(old), reachable(new)
    assert blast_radius(old, new, (), NOW) == BlastRadius(
        len(HOSTS),
        len(before),
        len(after),
        len(after.keys() - before.keys()),
        len(before.keys() - after.keys()),
        sum(before.get(pair) != after.get(pair) for pair in before.keys() | after.keys()),
    )


@settings(max_examples=20)
@given(policies())
def test_the_same_policy_changes_nothing(policy: Policy) -> None:
    reach = blast_radius(policy, policy, (), NOW)
    assert (reach.opened, reach.closed, reach.changed) == (0, 0, 0)
    assert blast_radius(None, policy, (), NOW) == replace(
        reach, before=0, opened=reach.after, changed=reach.after
    )


def test_discovered_hosts_count() -> None:
    policy = Policy("p", defaults=Defaults(mode=Mode.AUDIT))
    found = tuple(Binding(f"02:00:00:00:00:0{n}", f"10.0.0.{n}", 1, n) for n in (1, 2, 3))
    assert str(blast_radius(policy, policy, found, NOW)) == (
        "6 of 6 host pairs can talk, 6 before: 0 newly, 0 no longer, 0 with other services"
    )


def test_pairs_that_talk_over_link_local_addresses_alone_count() -> None:
    """The segment is a network, which their ``fe80::`` addresses are not in."""
    hosts = tuple(
        Host(f"h{n}", f"02:00:00:00:00:0{n}", (ip_address(f"10.0.0.{n}"),)) for n in (1, 2)
    )
    segment = Segment("s", (Selector(cidr=ip_network("10.0.0.0/24")),), Mode.ENFORCE)
    policy = Policy("p", hosts, (segment,), defaults=Defaults(mode=Mode.AUDIT))
    assert blast_radius(None, policy, (), NOW).after == 2
    strict = replace(policy, defaults=Defaults(mode=Mode.ENFORCE))
    assert blast_radius(policy, strict, (), NOW).closed == 2


@pytest.mark.thorough
def test_ten_thousand_hosts_take_seconds() -> None:
    hosts = tuple(
        Host(f"h{n}", ips=(ip_address(0x0A00_0000 + n),), labels=(("role", f"r{n % 200}"),))
        for n in range(10_000)
    )
    segments = tuple(
        Segment(f"s{n}", (Selector(labels=(("role", f"r{n}"),)),), Mode.ENFORCE) for n in range(200)
    )
    intents = tuple(
        Intent(f"i{n}", (f"s{n % 200}",), (f"s{n * 7 % 200}",), (Service(6, n, n),))
        for n in range(2000)
    )
    policy = Policy("big", hosts, segments, (), intents)
    began = time.process_time()
    reach = blast_radius(policy, replace(policy, intents=intents[:-1]), (), NOW)
    assert time.process_time() - began < 5.0
    assert reach.hosts == 10_000
    assert reach.closed in (0, 50 * 50, 50 * 49)

"""By class of hosts and range of services is as address by address and port by port."""

from __future__ import annotations

from itertools import permutations, product

from hypothesis import given, settings

from policies.model import Address, Connection, Policy, Restriction
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import address_at
from policies.semantics.reachability import Reachability, class_of
from policies.semantics.verdict import Judge
from tests.support.random_policies import NOW, SERVICES, policies


def kinds() -> set[tuple[int, int]]:
    """Protocol and port wherever an answer can change."""
    found = {(0, 0), (200, 0)}
    for service in SERVICES:
        if service.proto is not None:
            low, high = service.low or 0, 255 if service.high is None else service.high
            found |= {(service.proto, port) for port in (0, low, high, high + 1)}
    return found


@settings(max_examples=20, deadline=None)
@given(policies())
def test_who_reaches_whom_freely_and_under_quarantine(policy: Policy) -> None:
    members = Membership(policy)
    judge = Judge(policy, members)
    reach = Reachability(judge)

    def some_passes(one: tuple[Address, ...], other: tuple[Address, ...], held: bool) -> bool:
        blocks = (Restriction(1, "quarantine", one, NOW + 1),) if held else ()
        return any(
            judge.verdict(Connection(a, b, *kind), NOW, blocks).forwarded
            for a, b in product(one, other)
            if a.version == b.version
            for kind in kinds()
        )

    for source, target in permutations(members.hosts, 2):
        one, other = (tuple(map(address_at, host.numbers)) for host in (source, target))
        first, second = (class_of(host.numbers, members) for host in (source, target))
        assert reach.reaches(first, second, NOW) == some_passes(one, other, held=False)
        assert reach.reaches(first, second, NOW, emergency_only=True) == some_passes(
            one, other, held=True
        )

"""Where addresses are, and how the public networks that are ours are found."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from detection.detector import Detector, DetectorSettings
from detection.state.address_scope import AddressScope, Territory
from detection.state.home_evidence import AGAIN, FIRST, MOST_PAIRS
from tests.support.traffic.office import T0, start

CLOUD = "20.60.1.{}"


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("10.1.2.3", AddressScope.INSIDE),
        ("fd00::1", AddressScope.INSIDE),
        ("fe80::1", AddressScope.INSIDE),
        ("100.64.0.9", AddressScope.INSIDE),
        ("8.8.8.8", AddressScope.OUTSIDE),
        ("203.0.113.5", AddressScope.INSIDE),
        ("2606:4700::1", AddressScope.OUTSIDE),
        ("224.0.0.251", AddressScope.NOBODY),
        ("ff02::1", AddressScope.NOBODY),
        ("255.255.255.255", AddressScope.NOBODY),
        ("10.1.2.255", AddressScope.NOBODY),
        ("0.0.0.0", AddressScope.NOBODY),
        ("127.0.0.1", AddressScope.NOBODY),
        ("00:11:22:33:44:55", AddressScope.NOBODY),
    ],
)
def test_scope_of_addresses(address: str, scope: AddressScope) -> None:
    assert Territory().scope_of(address) is scope


def test_given_networks_are_the_only_ones_inside() -> None:
    territory = Territory(("147.32.0.0/16", "2001:db8::/32"))
    assert territory.scope_of("147.32.1.1") is AddressScope.INSIDE
    assert territory.scope_of("2001:db8::5") is AddressScope.INSIDE
    assert territory.scope_of("10.1.2.3") is AddressScope.OUTSIDE
    assert not territory.learns


def found(edges: Iterable[tuple[str, str]]) -> set[str]:
    territory = Territory()
    for src, dst in edges:
        territory.notice(src, dst)
    return {str(network) for network in territory.found}


def test_the_own_public_network_of_a_border_recording_is_found() -> None:
    territory = Territory()
    for i in range(FIRST):
        territory.notice(f"147.32.80.{i}", f"{20 + i}.1.2.3")
    assert territory.scope_of("147.32.1.1") is AddressScope.INSIDE
    assert territory.scope_of("20.1.2.3") is AddressScope.OUTSIDE


def test_the_server_that_every_private_host_talks_to_is_not_ours() -> None:
    assert found((f"192.168.0.{i}", "66.63.1.1") for i in range(FIRST)) == set()


def test_no_public_network_is_found_where_addresses_are_private() -> None:
    pairs = [(f"10.0.0.{i}", "10.0.1.1" if i % 3 else "8.8.8.8") for i in range(200)]
    assert found(pairs) == set()


def test_a_popular_network_outside_is_not_taken_for_ours() -> None:
    """Both halves of a site on two public networks mostly talk to one cloud."""
    homes = ("147.32.80.{}", "147.33.80.{}")
    pairs = [(homes[i % 2].format(i), CLOUD.format(i)) for i in range(90)]
    pairs += [(homes[i % 2].format(i), f"{30 + i}.1.2.3") for i in range(38)]
    random.Random(2).shuffle(pairs)
    assert found(pairs) == {"147.32.0.0/16", "147.33.0.0/16"}


def test_one_other_network_alone_does_not_show_which_of_the_two_is_ours() -> None:
    assert found((f"147.32.80.{i}", CLOUD.format(i)) for i in range(200)) == set()


def test_what_began_as_a_mistake_is_revised() -> None:
    """At first a guest's network shows in most lines, later ours in nearly all."""
    guests = [(f"66.63.1.{i}", f"{30 + i}.1.2.3") for i in range(FIRST)]
    assert found(guests) == {"66.63.0.0/16"}
    rng = random.Random(1)
    ours = [
        (f"147.32.80.{i % 250}", f"{rng.randrange(20, 120)}.{rng.randrange(250)}.1.1")
        for i in range(2 * AGAIN)
    ]
    assert found([*guests, *ours]) == {"147.32.0.0/16"}


def test_what_is_ours_stays_so_while_strangers_come_without_end() -> None:
    territory = Territory()
    for i in range(5 * MOST_PAIRS):
        territory.notice(f"{20 + i % 90}.{i // 90 % 250}.1.1", "147.32.80.1")
        if i > FIRST:
            assert [str(network) for network in territory.found] == ["147.32.0.0/16"]
    assert len(territory.snapshot().pairs) <= MOST_PAIRS


def test_our_ipv6_network_is_found_beside_private_ipv4() -> None:
    detector = Detector()
    for i in range(60):
        detector.step(start(T0 + i, f"10.0.0.{i}", f"{20 + i}.9.9.9", 443))
        if i % 3 == 0:
            detector.step(start(T0 + i, f"2a02:1:2:{i}::5", f"2600:{i}::1", 443))
    for i in range(80):
        detector.step(start(T0 + 60 + i, f"2a02:1:2:1::{i:x}", "2a02:1:2:9::1", 443))
    assert detector.host_registry.territory.scope_of("2a02:1:2:77::1") is AddressScope.INSIDE
    assert detector.host_registry.territory.scope_of("2600:5::1") is AddressScope.OUTSIDE
    again = Detector.restore(detector.snapshot())
    assert again.host_registry.territory.found == detector.host_registry.territory.found
    assert again.host_registry.hosts["2a02:1:2:1::5"].inside


def test_what_people_declare_needs_no_evidence_and_is_no_evidence() -> None:
    territory = Territory()
    territory.include(["147.32.0.0/16"])
    for i in range(200):
        territory.notice(f"147.32.80.{i}", f"{20 + i % 90}.1.2.3")
    assert territory.found == ()
    given = Detector(DetectorSettings(internal=("147.32.0.0/16",)))
    given.include(["2a02:1:2::/48"])
    assert given.host_registry.territory.scope_of("2a02:1:2::9") is AddressScope.INSIDE

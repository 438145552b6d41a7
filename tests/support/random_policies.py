"""Policies and connections made at random: overlapping segments, all tiers, both families."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from policies.feed_block import FeedBlock, NarrowListing
from policies.model import (
    ANY,
    TCP,
    UNKNOWN,
    Action,
    Connection,
    Defaults,
    Envelope,
    Host,
    Intent,
    Mode,
    Policy,
    Restriction,
    Segment,
    Selector,
    Service,
    Tier,
)
from policies.semantics.prefixes import fewest, prefix_of

NOW = 1_000_000.0
HOSTS = tuple(
    Host(
        f"h{number}",
        f"00:00:00:00:00:{number:02x}",
        (ip_address(f"10.0.{number % 3}.{number}"), ip_address(f"fd00::{number}")),
        1 + number % 2,
        number,
        labels=(("role", "abc"[number % 3]),),
    )
    for number in range(1, 7)
)
NAMES = ("s0", "s1", "s2", "s3")
SERVICES = (
    Service(),
    Service(TCP),
    Service(TCP, 22, 22),
    Service(TCP, 1000, 3000),
    Service(17, 53, 53),
    Service(1),
    Service(1, 8, 8),
    Service(58, 128, 128),
    Service(132, 9000, 9010),
    Service(89),
)
ends = st.lists(st.sampled_from((*NAMES, ANY, UNKNOWN)), min_size=1, max_size=2, unique=True).map(
    tuple
)
selectors = st.one_of(
    st.sampled_from("abc").map(lambda role: Selector(labels=(("role", role),))),
    st.sampled_from([host.name for host in HOSTS]).map(lambda name: Selector(host=name)),
    st.sampled_from(["10.0.0.0/16", "10.0.1.0/24", "fd00::/64", "10.0.2.2/32"]).map(
        lambda text: Selector(cidr=ip_network(text))
    ),
    st.just(Selector(cidr=ip_network("10.0.0.0/16"), excepts=(ip_network("10.0.1.0/24"),))),
    st.integers(1, 6).map(lambda number: Selector(switch=1 + number % 2, port=number)),
)
expiries = st.one_of(
    st.none(),
    st.sampled_from([NOW - 5, NOW + 5, NOW + 90_000]).map(
        lambda at: datetime.fromtimestamp(at, UTC)
    ),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    segments = tuple(
        Segment(
            name,
            tuple(draw(st.lists(selectors, min_size=1, max_size=3))),
            draw(st.sampled_from([None, *Mode])),
        )
        for name in NAMES
    )
    intents = tuple(
        Intent(
            f"intent-{index}",
            draw(ends),
            draw(ends),
            tuple(draw(st.lists(st.sampled_from(SERVICES), min_size=1, max_size=3, unique=True))),
            draw(st.sampled_from(list(Action))),
            draw(st.sampled_from([Tier.EMERGENCY, Tier.SECURITY, Tier.APPLICATION, Tier.BASELINE])),
            expires=draw(expiries),
        )
        for index in range(draw(st.integers(0, 8)))
    )
    defaults = Defaults(draw(st.sampled_from(list(Action))), draw(st.sampled_from(list(Mode))))
    protected = tuple(draw(st.lists(selectors, max_size=2)))
    envelope = draw(st.sampled_from([None, Envelope(protected=protected)]))
    return Policy("random", HOSTS, segments, (), intents, defaults, envelope)


@st.composite
def restrictions(draw: st.DrawFn) -> tuple[Restriction, ...]:
    """Machine decisions of every kind, on addresses, a port or both, several on one host and some
    that have ended."""
    found = []
    for number in range(1, 1 + draw(st.integers(0, 4))):
        addresses, port = draw(st.sampled_from([(1, 0), (0, 1), (1, 1)]))
        host, place = draw(st.sampled_from(HOSTS)), draw(st.sampled_from(HOSTS))
        found.append(
            Restriction(
                number,
                draw(st.sampled_from(["quarantine", "isolate", "rate_limit"])),
                host.ips if addresses else (),
                NOW + draw(st.sampled_from([-5, 0, 60, 61, 900])),
                ((place.switch or 0, place.port or 0),) if port else (),
            )
        )
    return tuple(found)


listed_networks = st.sampled_from(
    [
        "10.0.0.0/16",
        "10.0.1.0/24",
        "10.0.2.2/32",
        "10.0.0.4/30",
        "fd00::/125",
        "fd00::4/128",
        "0.0.0.0/0",
    ]
)


narrow_listings = st.builds(
    lambda service, direction, text: NarrowListing(
        service, direction, (prefix_of(ip_network(text)),)
    ),
    st.sampled_from([s for s in SERVICES if s.proto is not None]),
    st.sampled_from(["from", "to"]),
    listed_networks,
)


@st.composite
def feed_blocks(draw: st.DrawFn) -> tuple[FeedBlock, ...]:
    """Feeds that list some of the hosts, and each other's prefixes."""
    return tuple(
        FeedBlock(
            name,
            draw(st.sampled_from(list(Mode))),
            fewest(prefix_of(ip_network(text)) for text in draw(st.lists(listed_networks))),
            tuple(draw(st.lists(narrow_listings, max_size=2))),
        )
        for name in draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True))
    )


@st.composite
def connections(draw: st.DrawFn) -> Connection:
    version = draw(st.sampled_from([0, 1]))
    one, other = draw(st.permutations(HOSTS))[:2]
    proto, port = draw(
        st.sampled_from(
            [
                (6, 22),
                (6, 999),
                (6, 1000),
                (6, 3000),
                (6, 3001),
                (17, 53),
                (132, 9005),
                (89, 0),
                (1, 8) if version == 0 else (58, 128),
                (1, 13) if version == 0 else (58, 1),
            ]
        )
    )
    return Connection(one.ips[version], other.ips[version], proto, port)

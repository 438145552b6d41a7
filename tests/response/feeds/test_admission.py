from __future__ import annotations

from dataclasses import replace
from ipaddress import collapse_addresses, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import Envelope, Feed, Host, Policy, Segment, Selector
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import Span, network_of
from policies.semantics.prefixes import Prefix, prefix_of
from response.feeds.admission import guard_of, union
from response.feeds.entries import Entry, FeedError, Notes
from response.feeds.load import Loaded, load
from topology.records import Binding


def host(name: str, address: str, role: str, **more: object) -> Host:
    ips = (ip_address(address),)
    return Host(name, f"02:00:00:00:00:{len(address):02x}", ips, labels=(("role", role),), **more)  # type: ignore[arg-type]


def role(name: str) -> Selector:
    return Selector(labels=(("role", name),))


POLICY = Policy(
    "p",
    hosts=(
        host("web1", "10.0.1.1", "web"), host("web2", "10.0.1.2", "web"),
        host("dns", "192.0.2.53", "dns"), host("six", "2001:db8:1::7", "web"),
        host("gw", "198.51.100.1", "gate", routes=(ip_network("0.0.0.0/0"),)),
    ),
    segments=(
        Segment("web", (role("web"),)),
        Segment("plant", (Selector(cidr=ip_network("10.0.9.0/29"),
                                   excepts=(ip_network("10.0.9.1/32"),)),)),
    ),
    envelope=Envelope(protected=(role("dns"), Selector(cidr=ip_network("203.0.113.0/28")))),
)  # fmt: skip
ANY_SIZE = Feed("f", "p", "cidr-list", may_list_own=True, max_share=1.0)
GUARD = guard_of(POLICY, Membership(POLICY), ["100.64.0.9"])


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("0.0.0.0/8", "this network"),
        ("0.0.0.7/32", "this network"),
        ("127.0.0.1/32", "loopback"),
        ("224.0.0.5/32", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("169.254.1.0/24", "link-local"),
        ("64.0.0.0/2", "broader than /8"),
        ("0.0.0.0/0", "broader than /8"),
        ("2000::/3", "broader than /16"),
        ("::1/128", "loopback"),
        ("fe80::1/128", "link-local"),
        ("ff02::1/128", "multicast"),
        ("::ffff:1.2.3.4/128", "IPv4 written as IPv6"),
        ("192.0.2.53/32", "protected"),
        ("192.0.2.0/24", "protected"),
        ("203.0.113.8/32", "protected"),
        ("203.0.113.0/24", "protected"),
        ("198.51.100.0/25", "router gw"),
        ("100.64.0.0/16", "switch or this controller"),
        ("10.0.1.0/30", "whole segment web"),
        ("10.0.0.0/8", "whole segment"),
        ("2001:db8:1::7/128", "whole segment web"),
        ("10.0.9.0/29", "whole segment plant"),
    ],
)
def test_what_no_feed_may_list(network: str, reason: str) -> None:
    assert reason in (GUARD.refusal(prefix_of(ip_network(network))) or "admitted")


@pytest.mark.parametrize(
    "network", ["10.0.1.1/32", "203.0.113.16/28", "10.0.9.4/30", "10.0.9.1/32", "2001:db8:2::/48"]
)
def test_what_a_feed_may_list(network: str) -> None:
    assert GUARD.refusal(prefix_of(ip_network(network))) is None


def test_no_feed_may_list_an_address_that_a_router_was_assigned() -> None:
    gateway = Host("gw", "02:00:00:00:00:01", routes=(ip_network("0.0.0.0/0"),))
    bound = [Binding("02:00:00:00:00:01", "198.51.100.9", 1, 1, "gw")]
    policy = Policy("p", (gateway,))
    guard = guard_of(policy, Membership(policy, bound), ())
    reason = guard.refusal(prefix_of(ip_network("198.51.100.9/32")))
    assert reason == "it covers the router gw"


def listed(*lines: str, now: float = 0.0, least: int = 0, form: str = "cidr-list") -> Loaded:
    feed = Feed("f", "f.txt", form, min_confidence=least, may_list_own=True, max_share=1.0)
    return load("\n".join(lines).encode(), feed, GUARD, now)


def shown(loaded: Loaded) -> list[str]:
    return [str(network_of(Span(*prefix))) for each in loaded.listings for prefix in each.prefixes]


def test_a_segment_is_not_covered_piece_by_piece_either() -> None:
    every_other = [f"10.0.9.{n}" for n in (0, 2, 3, 4, 5, 6, 7)]
    loaded = listed(*every_other, "8.8.8.8")
    assert shown(loaded) == ["8.8.8.8/32"]
    assert loaded.refused.counts == {"with others it covers the whole segment plant": 7}
    assert shown(listed(*every_other[:-1])) == ["10.0.9.0/32", "10.0.9.2/31", "10.0.9.4/31",
                                                "10.0.9.6/32"]  # fmt: skip


def test_time_and_confidence_sift_entries() -> None:
    lines = [
        "ip,confidence,valid_from,valid_until",
        "8.8.8.1,49,,",
        "8.8.8.2,50,,",
        "8.8.8.3,,,",
        "8.8.8.4,90,1970-01-01T00:10:00Z,",
        "8.8.8.5,90,,1970-01-01T00:05:00Z",
        "8.8.8.6,90,,1970-01-01T00:01:00Z",
    ]
    loaded = listed(*lines, now=100.0, least=50, form="csv")
    assert shown(loaded) == ["8.8.8.2/31", "8.8.8.5/32"]
    assert (loaded.unsure, loaded.not_yet, loaded.ended, loaded.in_force) == (1, 1, 1, 3)
    assert loaded.changes_at == 300.0
    assert shown(listed(*lines, now=700.0, least=50, form="csv")) == [
        "8.8.8.2/31", "8.8.8.4/32",
    ]  # fmt: skip


def test_ports_and_directions_are_kept_apart() -> None:
    loaded = listed("8.8.8.0:53", "8.8.8.1:53", "8.8.8.2", "8.8.8.2:99")
    found = [(str(each.service), each.direction, each.prefixes) for each in loaded.listings]
    assert [(service, direction) for service, direction, _ in found] == [
        ("None", "any"), ("tcp/53", "to"), ("tcp/99", "to"),
    ]  # fmt: skip


def test_too_much_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("response.feeds.load.MAX_PREFIXES", 3)
    with pytest.raises(FeedError, match="more than 3 prefixes"):
        listed("8.8.8.0", "8.8.8.2", "8.8.8.4", "8.8.8.6")
    monkeypatch.setattr("response.feeds.entries.MAX_ENTRIES", 2)
    with pytest.raises(FeedError, match="more than 2 entries"):
        listed("8.8.8.0", "8.8.8.2", "8.8.8.4")


four = st.builds(
    lambda number, length: ip_network((number >> 32 - length << 32 - length, length)),
    st.integers(0x0A00_0000, 0x0A00_0FFF) | st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 32),
)
six = st.builds(
    lambda number, length: ip_network(
        (0x2001_0DB8 << 96 | number >> 128 - length << 128 - length, length)
    ),
    st.integers(0, 0xFFF),
    st.integers(32, 128),
)


@given(st.lists(four | six, max_size=30))
def test_whatever_is_listed_nothing_that_must_stay_is_touched(found: list[object]) -> None:
    """Judged here by plain arithmetic on every address that matters."""
    notes = Notes()
    entries = [Entry(1, prefix_of(network)) for network in found]  # type: ignore[arg-type]
    admitted = [ip_network(entry.text) for entry in GUARD.admit(entries, notes)]
    assert len(admitted) + notes.total == len(found)

    def hit(text: str) -> bool:
        address = ip_address(text)
        return any(address.version == n.version and address in n for n in admitted)

    for text in ("192.0.2.53", "203.0.113.0", "203.0.113.15", "198.51.100.1", "100.64.0.9",
                 "0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::1",
                 "ff02::1"):  # fmt: skip
        assert not hit(text)
    assert not (hit("10.0.1.1") and hit("10.0.1.2"))
    assert not all(hit(f"10.0.9.{n}") for n in (0, 2, 3, 4, 5, 6, 7))
    assert not hit("2001:db8:1::7")


@given(st.lists(four, max_size=40))
def test_prefixes_are_the_fewest_that_cover_the_same(found: list[object]) -> None:
    guard = guard_of(Policy("p"), Membership(Policy("p")), ())
    kept = [n for n in found if guard.refusal(prefix_of(n)) is None]  # type: ignore[arg-type]
    text = "\n".join(map(str, kept)).encode()
    loaded = load(text, ANY_SIZE, guard, 0.0)
    assert [ip_network(each) for each in shown(loaded)] == list(collapse_addresses(kept))  # type: ignore[type-var]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_union_is_the_same_numbers(pairs: list[Prefix]) -> None:
    ranges = [(first, first + more) for first, more in pairs]
    found = union(ranges)
    wanted = {n for first, last in ranges for n in range(first, last + 1)}
    assert {n for first, last in found for n in range(first, last + 1)} == wanted
    assert all(a[1] + 1 < b[0] for a, b in zip(found, found[1:], strict=False))


@pytest.mark.threat("feed-limits")
def test_entries_of_our_own_networks_are_left_out_and_counted() -> None:
    """Ours are private space, the /24 of a public host, and what contains them."""
    feed = Feed("f", "p", "cidr-list")
    lines = ["192.0.2.7", "172.16.5.5", "192.0.0.0/12", "8.8.8.8", "8.8.4.4", "9.9.9.9", "fd00::7"]
    text = "\n".join([*lines, "1.1.1.1"]).encode()
    loaded = load(text, feed, GUARD, 0.0)
    assert (loaded.own, loaded.in_force) == (4, 4)
    assert [note.text for note in loaded.refused.first] == [
        "192.0.2.7/32", "172.16.5.5/32", "192.0.0.0/12", "fd00::7/128"
    ]  # fmt: skip
    with pytest.raises(FeedError, match="4 of 7 entries are private"):
        load("\n".join(lines).encode(), feed, GUARD, 0.0)
    permitted = load(text, replace(feed, may_list_own=True), GUARD, 0.0)
    assert permitted.own == 0 and permitted.in_force > 4


@pytest.mark.threat("feed-limits")
def test_each_family_has_its_share_and_overlaps_count_once() -> None:
    feed = Feed("f", "p", "cidr-list", max_share=0.002)
    load(b"50.0.0.0/9\n50.0.0.0/10\n50.64.0.0/10\n2a00::/16", feed, GUARD, 0.0)
    with pytest.raises(FeedError, match="0.39 % of all IPv4 addresses, max_share permits 0.2 %"):
        load(b"50.0.0.0/9\n60.0.0.0/9", feed, GUARD, 0.0)

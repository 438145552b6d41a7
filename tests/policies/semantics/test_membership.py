"""Segments of addresses, held against a reading of the selectors one by one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from policies.model import (
    Adapt,
    Address,
    Defaults,
    Envelope,
    Host,
    Mode,
    Network,
    Policy,
    Segment,
    Selector,
)
from policies.semantics.membership import Membership
from topology.addresses import link_local
from topology.records import Binding

# Few bits, so that prefixes, hosts and gaps meet often.
four = st.integers(0, 31).map(lambda n: IPv4Address(0x0A000000 + n))
six = st.integers(0, 31).map(lambda n: IPv6Address((0xFD << 120) + n))
addresses = st.one_of(four, six)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    address, bits = draw(addresses), draw(st.integers(0, 5))
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address) >> bits << bits, 32 - bits))
    return IPv6Network((int(address) >> bits << bits, 128 - bits))


def inside(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    cidr = draw(st.one_of(st.none(), networks()))
    gaps: list[Network] = []
    if cidr is not None:
        gaps = [g for g in draw(st.lists(networks(), max_size=3)) if inside(g, cidr)]
    port = draw(st.one_of(st.none(), st.integers(1, 3)))
    labels = draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2))
    host = draw(st.one_of(st.none(), st.sampled_from(["h0", "h1", "h2"])))
    return Selector(
        tuple(sorted(labels.items())), host, cidr, tuple(gaps), None if port is None else 1, port
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    hosts = tuple(
        Host(
            f"h{index}",
            f"02:00:00:00:00:{index:02x}" if draw(st.booleans()) else None,
            tuple(draw(st.lists(addresses, max_size=2, unique=True))),
            *draw(st.sampled_from([(None, None), (1, 1), (1, 2)])),
            labels=tuple(
                sorted(draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))).items())
            ),
        )
        for index in range(3)
    )
    segments = tuple(
        Segment(f"s{index}", tuple(draw(st.lists(selectors(), max_size=3))))
        for index in range(draw(st.integers(0, 4)))
    )
    return Policy("p", hosts, segments)


bindings = st.lists(
    st.builds(
        Binding,
        st.sampled_from(["02:00:00:00:00:00", "02:00:00:00:00:09"]),
        addresses.map(str),
        st.just(1),
        st.integers(1, 3),
        st.sampled_from([None, "h0", "h2"]),
    ),
    max_size=3,
)


def selected(policy: Policy, bound: list[Binding], selector: Selector, address: Address) -> bool:
    """The meaning of a selector, word by word."""
    everything = (selector.labels, selector.host, selector.cidr, selector.port)
    if not any(everything):
        return False
    if selector.cidr is not None:
        if address.version != selector.cidr.version or address not in selector.cidr:
            return False
        if any(address in gap for gap in selector.excepts):
            return False
        if not (selector.labels or selector.host or selector.port):
            return True
    declared = {ip for host in policy.hosts for ip in host.ips}
    for host in policy.hosts:
        own = [b for b in bound if b.host == host.name]
        macs = {b.mac for b in own} | ({host.mac} if host.mac else set())
        held = {*host.ips, *(ip_address(b.ip) for b in own), *(link_local(m) for m in macs)}
        ports = {(b.switch, b.port) for b in own} | {(host.switch, host.port)}
        if (
            address in held
            and set(selector.labels) <= set(host.labels)
            and selector.host in (None, host.name)
            and (selector.port is None or (selector.switch, selector.port) in ports)
        ):
            return True
    if selector.labels or selector.host:
        return False
    return any(
        b.host is None
        and ip_address(b.ip) not in declared
        and (b.switch, b.port) == (selector.switch, selector.port)
        and address in (ip_address(b.ip), link_local(b.mac))
        for b in bound
    )


every: list[Address] = [
    *(IPv4Address(0x0A000000 + n) for n in range(-1, 33)),
    *(IPv6Address((0xFD << 120) + n) for n in range(33)),
    *(link_local(f"02:00:00:00:00:{n:02x}") for n in (0, 1, 2, 9)),
]


@given(policies(), bindings)
def test_segments_are_what_the_selectors_say_and_regions_say_the_same(
    policy: Policy, bound: list[Binding]
) -> None:
    membership = Membership(policy, bound)
    regions = membership.regions()
    for address in every:
        expected = {
            segment.name
            for segment in policy.segments
            if any(selected(policy, bound, selector, address) for selector in segment.members)
        }
        assert membership.segments_of(address) == expected
        assert membership.segments_of(str(address)) == expected
        over = [r for r in regions if address in r.prefix]
        longest = max(over, key=lambda r: r.prefix.prefixlen, default=None)
        assert (longest.segments if longest else frozenset()) == expected


@given(policies(), bindings)
def test_no_region_repeats_the_one_around_it(policy: Policy, bound: list[Binding]) -> None:
    regions = Membership(policy, bound).regions()
    assert len({r.prefix for r in regions}) == len(regions)
    for region in regions:
        around = [r for r in regions if r is not region and inside(region.prefix, r.prefix)]
        nearest = max(around, key=lambda r: r.prefix.prefixlen, default=None)
        assert region.segments != (nearest.segments if nearest else frozenset())


@given(selectors(), policies(), bindings)
def test_addresses_of_a_selector(selector: Selector, policy: Policy, bound: list[Binding]) -> None:
    found = Membership(policy, bound).addresses_of(selector)
    prefixes = found.prefixes()
    for address in every:
        expected = selected(policy, bound, selector, address)
        assert (address in found) == expected
        assert (str(address) in found) == expected
        assert any(address in prefix for prefix in prefixes) == expected
    assert all(address in found for address in found)
    assert len(list(found)) == len(found)


def segment(
    name: str, *members: Selector, mode: Mode | None = None, adapt: Adapt | None = None
) -> Segment:
    return Segment(name, members, mode, adapt)


def test_strictest_mode_and_most_cautious_adapt_count() -> None:
    policy = Policy(
        "p",
        segments=(
            segment("e", mode=Mode.ENFORCE, adapt=Adapt.AUTO),
            segment("o", mode=Mode.OBSERVE, adapt=Adapt.OFF),
            segment("n"),
        ),
        defaults=Defaults(mode=Mode.AUDIT),
    )
    membership = Membership(policy)

    def names(*given: str) -> frozenset[str]:
        return frozenset(given)

    assert membership.mode_of(names()) is Mode.AUDIT
    assert membership.mode_of(names("o")) is Mode.OBSERVE
    assert membership.mode_of(names("n", "o")) is Mode.AUDIT
    assert membership.mode_of(names("e", "n", "o")) is Mode.ENFORCE
    assert membership.adapt_of(names()) is Adapt.ALERT
    assert membership.adapt_of(names("e")) is Adapt.AUTO
    assert membership.adapt_of(names("e", "n")) is Adapt.ALERT
    assert membership.adapt_of(names("e", "n", "o")) is Adapt.OFF


def test_hosts_in_a_segment_are_known_by_any_of_their_addresses() -> None:
    hosts = (
        Host("in", ips=(ip_address("10.0.0.5"),)),
        Host("out", ips=(ip_address("10.1.0.5"),)),
        Host("later", labels=(("role", "web"),)),
    )
    policy = Policy(
        "p",
        hosts,
        (
            segment("net", Selector(cidr=ip_network("10.0.0.0/24"))),
            segment("web", Selector(labels=(("role", "web"),))),
        ),
    )
    found = Binding("02:00:00:00:00:07", "10.0.0.77", 1, 9)
    membership = Membership(policy, [found])
    assert membership.hosts_in("net") == {"in", "10.0.0.77"}
    assert membership.hosts_in("web") == {"later"}
    assert membership.hosts_in("nothing") == frozenset()


def test_protected_addresses_know_whole_networks() -> None:
    envelope = Envelope(
        protected=(
            Selector(cidr=ip_network("10.0.0.0/24"), excepts=(ip_network("10.0.0.9/32"),)),
            Selector(host="gw"),
        )
    )
    policy = Policy("p", (Host("gw", ips=(ip_address("10.9.0.1"),)),), envelope=envelope)
    protected = Membership(policy).protected_addresses(envelope)
    assert "10.0.0.200" in protected and "10.9.0.1" in protected
    assert "10.0.0.9" not in protected and "10.9.0.2" not in protected
    assert list(protected) == ["10.9.0.1"]
    assert len(Membership(policy).protected_addresses(None)) == 0


def test_hosts_of_an_enforced_segment_do_not_become_strangers_by_link_local() -> None:
    mac = "00:00:00:00:01:11"
    policy = Policy("p", (Host("web1", mac),), (segment("web", Selector(host="web1")),))
    assert Membership(policy).segments_of("fe80::200:ff:fe00:111") == {"web"}

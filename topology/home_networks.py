"""Which networks are ours: private address space, and public networks that traffic tells of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from topology.addresses import is_group

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
            "100.64.0.0/10",  # shared with a provider: RFC 6598
            *("169.254.0.0/16", "fe80::/10"),  # link-local: RFC 3927, RFC 4291
            "fc00::/7",  # RFC 4193
        ),
    )
)
"""Networks that nobody else's hosts can be in. Those in `UNASSIGNABLE` are none: `ipaddress` calls
most of them private too, and which they are depends on Python's version."""

UNASSIGNABLE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "192.0.0.0/29", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24"),
            *("203.0.113.0/24", "240.0.0.0/4"),
            *("100::/64", "2001::/23", "2001:db8::/32"),
        ),
    )
)
"""Ranges for documentation, benchmarks and protocols (RFC 6890): nobody has a host in them. The
detector takes them for ours, as it was calibrated so."""

_WIDTH = {4: 16, 6: 48}
_EXPLAINED = 0.9


def is_private(place: Address | Network) -> bool:
    """Whether an address, or all of a network, is in private address space."""
    inner = ip_network(place) if isinstance(place, IPv4Address | IPv6Address) else place
    return any(
        inner.subnet_of(outer)  # type: ignore[arg-type]
        for outer in PRIVATE
        if outer.version == inner.version
    )


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(address in network for network in networks if network.version == address.version)


def around(address: Address) -> Network:
    """The network that an address brings along: its /16, for IPv6 its /48."""
    number = int(address) if isinstance(address, IPv4Address) else address
    return ip_network((number, _WIDTH[address.version]), strict=False)


def home_networks(
    pairs: Iterable[tuple[Address, Address, int]], total: int, most: int, least: float = 0.0
) -> tuple[Network, ...]:
    """Public networks that most of the traffic has an end in, the one with most first.

    Traffic is recorded somewhere, so nearly every connection has an end there: networks are added
    until nine in ten of ``total`` connections have a private, a group's or a found end, ``most``
    networks are found, or the next has less than the share ``least`` of all connections.
    ``pairs`` are the two ends of connections and how many there are.
    """
    left = [
        (around(src), around(dst), times)
        for src, dst, times in pairs
        if not any(is_group(end) or within(end, PRIVATE) for end in (src, dst))
    ]
    found: list[Network] = []
    while left and len(found) < most:
        if sum(times for _, _, times in left) <= (1 - _EXPLAINED) * total:
            break
        ends_in: Counter[Network] = Counter()
        for one, other, times in left:
            for network in {one, other}:
                ends_in[network] += times
        best = min(ends_in, key=lambda network: (-ends_in[network], str(network)))
        if ends_in[best] < least * total:
            break
        found.append(best)
        left = [each for each in left if best not in each[:2]]
    return tuple(found)

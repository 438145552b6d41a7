"""Which public networks are ours, from who is in contact with whom.

Traffic is recorded somewhere, so nearly every connection has an end there. What tells our network
from a popular one outside is with how many others it is in contact: ours with many, a service that
all of us use with ours alone. So networks (/16, IPv6: /48) are counted in pairs, and how often a
pair was seen counts by its logarithm only. IPv4 and IPv6 are looked at apart: one may be
private and the other not. What is found is looked at again as evidence grows, and evidence fades.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from topology.home_networks import Network, around, home_networks, within

FIRST = 32  # edges before anything is found; it is looked again whenever they have doubled
AGAIN = 4096  # and at the latest after so many more
FEWEST = 16  # edges of an address family, or weight of its pairs, before anything is found in it
COUNTERPARTS = 3  # networks that one of ours is in contact with, at least
OWN_EDGES = 4  # or edges within it: where hosts of one public network talk, that is where we are
MOST_NETWORKS = 3  # found, in each family
LEAST = 0.25  # of the weight of all pairs, that one of ours has an end in
MOST_PAIRS = (
    4096  # remembered; when there are more, counts are halved and single old ones forgotten
)

Pair = tuple[str, str]


class HomeEvidence:
    """``edges`` counts what was added."""

    def __init__(self) -> None:
        self.edges = 0
        self._pairs: dict[Pair, int] = {}

    def add(self, src: str, dst: str) -> bool:
        """A new edge; True when it is time to look at what is known now."""
        one, other = _network_of(src), _network_of(dst)
        if one is None or other is None or (":" in one) != (":" in other):
            return False
        pair = (one, other) if one <= other else (other, one)
        count = self._pairs.get(pair, 0)
        if not count and len(self._pairs) >= MOST_PAIRS:
            self._fade()
        self._pairs[pair] = count + 1
        self.edges = n = self.edges + 1
        return n >= FIRST and (n % AGAIN == 0 or (n < AGAIN and n & (n - 1) == 0))

    def home_networks(self, declared: Iterable[Network]) -> tuple[Network, ...]:
        """Public networks that are ours besides the ``declared`` ones."""
        found: list[Network] = []
        for version in (4, 6):
            found += self._of_family(version, tuple(declared))
        return tuple(found)

    def rows(self) -> list[tuple[str, str, int]]:
        return [(one, other, count) for (one, other), count in self._pairs.items()]

    def restore(self, edges: int, rows: list[tuple[str, str, int]]) -> None:
        """Raises ValueError for texts that are no networks."""
        for one, other, _ in rows:
            if ip_network(one).version != ip_network(other).version:
                raise ValueError("networks of two address families in contact")
        self.edges = edges
        self._pairs = {(one, other): count for one, other, count in rows}

    def _of_family(self, version: int, declared: tuple[Network, ...]) -> Iterable[Network]:
        weighted = []
        edges = total = 0
        counterparts: dict[Network, int] = {}
        own: dict[Network, int] = {}
        for (one, other), count in self._pairs.items():
            ends = ip_network(one), ip_network(other)
            if ends[0].version != version:
                continue
            edges += count
            weight = count.bit_length()
            total += weight
            if ends[0] == ends[1]:
                own[ends[0]] = count
            for end in set(ends):
                counterparts[end] = counterparts.get(end, 0) + 1
            first, second = (end.network_address for end in ends)
            if not within(first, declared) and not within(second, declared):
                weighted.append((first, second, weight))
        if edges < FEWEST:
            return ()
        return (
            network
            for network in home_networks(weighted, total, MOST_NETWORKS, LEAST)
            if counterparts[network] >= COUNTERPARTS or own.get(network, 0) >= OWN_EDGES
        )

    def _fade(self) -> None:
        new = 3 * MOST_PAIRS // 4
        rows = list(enumerate(self._pairs.items()))
        kept = [(pair, max(1, n // 2)) for i, (pair, n) in rows if n > 1 or i >= new]
        self._pairs = dict(kept if len(kept) <= new else kept[-new:])


@lru_cache(1 << 16)
def _network_of(text: str) -> str | None:
    """None for what is no IP address."""
    try:
        return str(around(ip_address(text)))
    except ValueError:
        return None

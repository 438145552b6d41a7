"""Addresses that selectors match: those of known hosts, and whole networks with gaps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
)

from policies.model import Network, Selector
from policies.semantics.prefix_sets import Span, address_at, network_of, number_of, span_of


class AddressSet(Collection[str]):
    """Addresses that selectors match. Contains every such address; iterates over those of known
    hosts."""

    def __init__(self, known: Iterable[int], spans: Iterable[tuple[Span, tuple[Span, ...]]]):
        self._known = frozenset(known)
        self._spans = tuple(spans)

    @classmethod
    def union(cls, sets: Iterable[AddressSet]) -> AddressSet:
        """The addresses that are in any of some sets."""
        every = tuple(sets)
        known = (number for each in every for number in each._known)
        return cls(known, (span for each in every for span in each._spans))

    def __contains__(self, address: object) -> bool:
        if isinstance(address, str):
            address = ip_address(address)
        if not isinstance(address, IPv4Address | IPv6Address):
            return False
        number = number_of(address)
        return number in self._known or any(
            number in span and not any(number in gap for gap in gaps) for span, gaps in self._spans
        )

    def __iter__(self) -> Iterator[str]:
        return (str(address_at(number)) for number in sorted(self._known))

    def __len__(self) -> int:
        return len(self._known)

    def prefixes(self) -> tuple[Network, ...]:
        """The fewest networks that hold exactly these addresses."""
        four: list[IPv4Network] = []
        six: list[IPv6Network] = []
        whole = [(span_of(address_at(number)), ()) for number in self._known]
        for span, gaps in (*whole, *self._spans):
            for part in _without(network_of(span), [network_of(gap) for gap in gaps]):
                if isinstance(part, IPv4Network):
                    four.append(part)
                else:
                    six.append(part)
        return (*collapse_addresses(four), *collapse_addresses(six))


def is_network_alone(selector: Selector) -> bool:
    """Whether a selector is only a network, and so also matches addresses of no known host."""
    rest = selector.labels or selector.host or selector.switch
    return selector.cidr is not None and not rest


def spans_of(selector: Selector) -> tuple[Span, tuple[Span, ...]]:
    """A selector's network, and the networks that are excepted from it."""
    assert selector.cidr is not None
    return span_of(selector.cidr), tuple(span_of(gap) for gap in selector.excepts)


def _without(network: Network, gaps: Sequence[Network]) -> list[Network]:
    parts: list[Network] = [network]
    for gap in gaps:
        left: list[Network] = []
        for part in parts:
            if part.subnet_of(gap):  # type: ignore[arg-type]
                continue
            if gap.subnet_of(part):  # type: ignore[arg-type]
                left += part.address_exclude(gap)  # type: ignore[arg-type]
            else:
                left.append(part)
        parts = left
    return parts

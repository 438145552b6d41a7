"""Lists of prefixes with 100,000 entries and more: merging, packing to bytes, fast lookup."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain

from policies.feed_block import NarrowListing
from policies.model import Network, Service
from policies.semantics.prefix_sets import SIX, span_of

Prefix = tuple[int, int]
"""First address and negative size, as in `policies.semantics.prefix_sets.Span`."""

_FOUR, _SIX = struct.Struct("!IB"), struct.Struct("!QQB")
_LENGTHS = {1 << bits: bits for bits in range(129)}


def prefix_of(network: Network) -> Prefix:
    span = span_of(network)
    return span.start, span.wide


def fewest(prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """The fewest prefixes that hold exactly the same addresses, in their order.

    >>> from ipaddress import ip_network
    >>> found = fewest(prefix_of(ip_network(text)) for text in ("10.0.0.0/25", "10.0.0.128/25"))
    >>> found == (prefix_of(ip_network("10.0.0.0/24")),)
    True
    """
    kept: list[Prefix] = []
    end = -1  # of the last prefix kept
    for start, wide in sorted(prefixes):
        if start < end:
            continue  # inside the one before
        end = start - wide
        # Two halves of a prefix become the prefix, which may be a half itself.
        while kept and kept[-1] == (start + wide, wide) and not (start + wide) & (-2 * wide - 1):
            start, wide = kept.pop()[0], 2 * wide
        kept.append((start, wide))
    return tuple(kept)


class Listed:
    """Lookup of addresses in a list of `fewest` prefixes, by binary search."""

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self._starts = [start for start, _ in prefixes]
        self._prefixes = prefixes

    def find(self, number: int) -> Prefix | None:
        """The prefix that holds an address; None for one that is not listed."""
        at = bisect_right(self._starts, number) - 1
        if at < 0:
            return None
        start, wide = self._prefixes[at]
        return (start, wide) if number < start - wide else None


def packed(prefixes: Iterable[Prefix]) -> bytes:
    """As bytes: the number of IPv4 prefixes, each as address and length, then those of IPv6."""
    four, six = [], []
    for start, wide in prefixes:
        bits = _LENGTHS[-wide]
        if start < SIX:
            four.append(_FOUR.pack(start, 32 - bits))
        else:
            number = start ^ SIX
            six.append(_SIX.pack(number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF, 128 - bits))
    return struct.pack("!I", len(four)) + b"".join(chain(four, six))


def unpacked(data: bytes) -> tuple[Prefix, ...]:
    """What `packed` wrote. Raises ValueError for bytes that it cannot have written."""
    try:
        (count,) = struct.unpack_from("!I", data)
        middle = 4 + count * _FOUR.size
        four = [(number, -1 << 32 - length) for number, length in _FOUR.iter_unpack(data[4:middle])]
        six = [
            (high << 64 | low | SIX, -1 << 128 - length)
            for high, low, length in _SIX.iter_unpack(data[middle:])
        ]
        if len(four) != count:
            raise ValueError("it is cut short")
    except (struct.error, ValueError) as error:
        raise ValueError(f"no list of prefixes: {error}") from None
    return (*four, *six)


_NARROW = struct.Struct("!hiiBI")  # protocol, ports (-1: none), direction, bytes that follow
_DIRECTIONS = ("from", "to")


def packed_narrow(listings: Iterable[NarrowListing]) -> bytes:
    """As bytes: one after the other, each with its service, direction and `packed` prefixes."""
    parts = []
    for each in listings:
        service, prefixes = each.service, packed(each.prefixes)
        numbers = (-1 if n is None else n for n in (service.proto, service.low, service.high))
        head = _NARROW.pack(*numbers, _DIRECTIONS.index(each.direction), len(prefixes))
        parts += [head, prefixes]
    return b"".join(parts)


def unpacked_narrow(data: bytes) -> tuple[NarrowListing, ...]:
    """What `packed_narrow` wrote. Raises ValueError for bytes that it cannot have written."""
    found = []
    at = 0
    try:
        while at < len(data):
            *numbers, direction, size = _NARROW.unpack_from(data, at)
            at += _NARROW.size
            if at + size > len(data):
                raise ValueError("cut off")
            service = Service(*(None if number < 0 else number for number in numbers))
            prefixes = unpacked(data[at : at + size])
            found.append(NarrowListing(service, _DIRECTIONS[direction], prefixes))
            at += size
    except (struct.error, IndexError) as error:
        raise ValueError(f"no list of prefixes for services: {error}") from None
    return tuple(found)

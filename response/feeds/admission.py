"""Admission of feed entries: ranges that no feed may list, checked before any entry becomes a rule.
A feed is untrusted input: one wrong or malicious line must not cut off a protected host, a whole
segment, the switches or the controller, nor cover special ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import accumulate

from policies.model import Network, Policy
from policies.semantics.host_addresses import own_networks
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX, number_of, span_of
from policies.semantics.prefixes import Prefix
from response.feeds.entries import Entry, Notes
from topology.home_networks import PRIVATE

Range = tuple[int, int]
"""First and last address, as `policies.semantics.prefix_sets.number_of` numbers them."""

SPECIAL = {
    "0.0.0.0/8": "this network",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved and broadcast",
    "::/128": "the unspecified address",
    "::1/128": "loopback",
    "::ffff:0:0/96": "IPv4 written as IPv6",
    "fe80::/10": "link-local",
    "ff00::/8": "multicast",
}
"""RFC 6890: ranges that hold no single host somewhere else."""

BROADEST = {4: 8, 6: 16}
"""A shorter prefix is a mistake, whatever it holds."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A range that no entry may touch, and why."""

    first: int
    last: int
    reason: str


class FeedGuard:
    """Judges entries. ``segments`` gives each segment's own addresses as ranges that are apart
    and in order, one family each."""

    def __init__(
        self,
        grounds: Iterable[Ground],
        segments: Mapping[str, Sequence[Sequence[Range]]],
        own: Iterable[Range] = (),
    ) -> None:
        """``own`` are private address space and our own networks."""
        self._own = union(own)
        self._grounds = _apart(grounds)
        self._firsts = [ground.first for ground in self._grounds]
        extents = sorted(
            (ranges[0][0], ranges[-1][1], name)
            for name, families in segments.items()
            for ranges in families
            if ranges
        )
        self._starts = [first for first, _, _ in extents]
        # Of all segments that begin at or behind an address, the one that ends first.
        ends = accumulate(((last, name) for _, last, name in reversed(extents)), min)
        self._ends = list(ends)[::-1]
        self._segments = segments

    def refusal(self, prefix: Prefix) -> str | None:
        """Why this entry alone may not be listed, or None."""
        first, wide = prefix
        version, bits = (6, 128) if first >= SIX else (4, 32)
        if -wide > 1 << bits - BROADEST[version]:
            return f"broader than /{BROADEST[version]}"
        last = first - wide - 1
        at = bisect_right(self._firsts, last) - 1
        if at >= 0 and self._grounds[at].last >= first:
            return self._grounds[at].reason
        at = bisect_left(self._starts, first)
        if at < len(self._ends) and self._ends[at][0] <= last:
            return f"it covers the whole segment {self._ends[at][1]}"
        return None

    def is_own(self, entry: Entry) -> bool:
        """Whether an entry lists private address space or a part of our own networks."""
        first, last = entry.range
        at = bisect_right(self._own, (last, 2 * SIX)) - 1
        return at >= 0 and self._own[at][1] >= first

    def admit(self, entries: Iterable[Entry], refused: Notes) -> list[Entry]:
        """The entries that may be listed; neither one nor all together cover a segment."""
        admitted: list[Entry] = []
        for entry in entries:
            reason = self.refusal(entry.prefix)
            if reason is None:
                admitted.append(entry)
            else:
                refused.add(entry.line, entry.text, reason)
        covered = union(entry.range for entry in admitted)
        for name, families in self._segments.items():
            for ranges in families:
                if ranges and all(_inside(each, covered) for each in ranges):
                    admitted = _without(admitted, ranges, name, refused)
        return admitted


def guard_of(policy: Policy, members: Membership, own: Iterable[str]) -> FeedGuard:
    """The admission rules of a policy and the current hosts; ``own`` are addresses of the switches
    and of this machine."""
    grounds = [_ground(ip_network(text), f"{what} ({text})") for text, what in SPECIAL.items()]
    protected = members.protected_addresses(policy.envelope).prefixes()
    grounds += [_ground(network, "it covers a protected host") for network in protected]
    routers = {host.name for host in policy.hosts if host.routes}
    for host in members.hosts:
        if host.declared and host.name in routers:
            reason = f"it covers the router {host.name}"
            grounds += [Ground(number, number, reason) for number in host.numbers]
    for text in own:
        grounds.append(_ground(ip_network(text), "it covers a switch or this controller"))
    ours = [*PRIVATE, *map(ip_network, own_networks(policy, members.bindings))]
    return FeedGuard(grounds, _extents(members), [_range(network) for network in ours])


def union(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in ranges that neither overlap nor touch, in order."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = result[-1][0], last
        else:
            result.append((first, last))
    return result


def _range(network: Network) -> Range:
    span = span_of(network)
    return span.start, span.start - span.wide - 1


def _ground(network: Network, reason: str) -> Ground:
    return Ground(*_range(network), reason)


def _apart(grounds: Iterable[Ground]) -> list[Ground]:
    """In order and without overlap: prefixes are inside one another or apart."""
    result: list[Ground] = []
    for ground in sorted(grounds, key=lambda each: (each.first, -each.last)):
        if not result or ground.first > result[-1].last:
            result.append(ground)
    return result


_LINK_LOCAL = number_of(ip_address("fe80::")), number_of(ip_address("febf:ffff::"))


def _extents(members: Membership) -> dict[str, list[list[Range]]]:
    """Each segment's addresses as ranges per family; link-local ones cannot be listed anyway."""
    found: dict[str, list[Range]] = {}
    around: list[tuple[int, frozenset[str]]] = []  # (last, segments) of the regions we are in
    at = 0

    def until(end: int) -> None:
        """Up to ``end`` the innermost region says who is where."""
        nonlocal at
        while around and around[-1][0] < end:
            last, names = around.pop()
            if at <= last:
                _note(found, names, at, last)
                at = last + 1
        if around and at < end:
            _note(found, around[-1][1], at, end - 1)
        at = max(at, end)

    for (start, wide), names in sorted(members.spans.items()):
        until(start)
        around.append((start - wide - 1, names))
    until(2 * SIX)
    return {
        name: [
            union(r for r in ranges if r[0] < SIX),
            union(
                r for r in ranges if r[0] >= SIX and not _LINK_LOCAL[0] <= r[0] <= _LINK_LOCAL[1]
            ),
        ]
        for name, ranges in found.items()
    }


def _note(found: dict[str, list[Range]], names: frozenset[str], first: int, last: int) -> None:
    for name in names:
        found.setdefault(name, []).append((first, last))


def _inside(wanted: Range, covered: list[Range]) -> bool:
    at = bisect_right(covered, (wanted[0], 2 * SIX)) - 1
    return at >= 0 and covered[at][1] >= wanted[1]


def _without(
    entries: list[Entry], ranges: Sequence[Range], name: str, refused: Notes
) -> list[Entry]:
    """Without the entries that together leave nothing of a segment."""
    kept = []
    for entry in entries:
        first, last = entry.range
        at = bisect_right(ranges, (last, 2 * SIX)) - 1
        if at >= 0 and ranges[at][1] >= first:
            reason = f"with others it covers the whole segment {name}"
            refused.add(entry.line, entry.text, reason)
        else:
            kept.append(entry)
    return kept

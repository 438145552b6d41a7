"""Counting of records by everything that a policy can distinguish."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import compress
from math import inf

from policies.model import ICMP, ICMPV6, PROTOCOL_NUMBERS, TCP, Address, Connection
from topology.readers import RowProblem, TrafficError, rows
from topology.readers.row_count import BAD_SHARE, SHOWN

ICMP_WORDS = frozenset({"icmp", "1", "icmpv6", "ipv6-icmp", "58"})
_PROTOCOLS = PROTOCOL_NUMBERS | {
    "igmp": 2, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "ospf": 89,
    "pim": 103, "vrrp": 112, "udplite": 136,
}  # fmt: skip
_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
_BLOCKED = frozenset({"denied", "deny"})
_FAILED = frozenset({"rejected", "unanswered"})
# Rows with one key are one kind of connection: source, target, protocol, port (or ICMP type),
# state, verdict and phase, all as written.
Key = tuple[str, str, str, str, str, str, str]


@dataclass(slots=True)
class RecordedConnection:
    """What was recorded of one kind of connection; times in seconds since the epoch, ``first`` as
    the recording has them in order.

    ``failed`` of the connections were refused or never answered, as far as
    the recording tells.
    """

    connections: int = 0
    bytes: int = 0
    last: float = 0.0
    failed: int = 0
    first: float = inf


@dataclass(slots=True)
class RecordedTraffic:
    """Distinct connections with their counts, split by whether the network let them through.

    ``records`` were read, ``bad`` of them left out, the first of them in
    ``problems``; ``unjudged`` name no protocol or no IP address that a policy
    could judge. Equal addresses are one object.
    """

    carried: list[tuple[Connection, RecordedConnection]] = field(default_factory=list)
    blocked: list[tuple[Connection, RecordedConnection]] = field(default_factory=list)
    records: int = 0
    bad: int = 0
    unjudged: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def newest_until(self, limit: float) -> float:
        """The latest time that is not after ``limit``, or where all are, the earliest last one."""
        times = [seen.last for _, seen in (*self.carried, *self.blocked)]
        return max((ts for ts in times if ts <= limit), default=min(times, default=0.0))

    def later_than(self, limit: float) -> int:
        """How many kinds of connections were last seen after ``limit``: a clock is ahead."""
        return sum(seen.last > limit for _, seen in (*self.carried, *self.blocked))


def connections(traffic: RecordedTraffic) -> Iterator[tuple[Connection, RecordedConnection, bool]]:
    """Every distinct connection, what was seen of it, and whether it got through."""
    for connection, seen in traffic.carried:
        yield connection, seen, True
    for connection, seen in traffic.blocked:
        yield connection, seen, False


@dataclass(slots=True)
class KeyCount:
    """Rows of one key: ``first`` and ``line`` are of the first one, ``few`` of them had too few
    packets for a connection to have come about."""

    rows: int = 0
    bytes: int = 0
    last: float = 0.0
    few: int = 0
    line: int = 0
    first: float = 0.0


class Counts(dict[Key, KeyCount]):
    """Rows per key, in the order of their first ones."""

    def __missing__(self, key: Key) -> KeyCount:
        count = self[key] = KeyCount()
        return count

    def add(
        self,
        keys: Iterable[Key],
        sizes: Iterable[int],
        moments: Iterable[float],
        few: Iterable[bool],
        lines: Iterable[int],
    ) -> None:
        """Count rows that stand on ``lines`` of the file."""
        before = len(self)
        counts, moments = list(map(self.__getitem__, keys)), list(moments)
        if len(self) > before:
            for count, line, moment in zip(counts, lines, moments, strict=True):
                if not count.line:
                    count.line, count.first = line, moment
        for count, size, moment in zip(counts, sizes, moments, strict=True):
            count.rows += 1
            count.bytes += size
            if moment > count.last:
                count.last = moment
        for count in compress(counts, few):
            count.few += 1


def traffic_from(
    counts: Counts, total: int, bad: int, name: str, problems: Iterable[RowProblem] = ()
) -> RecordedTraffic:
    """Turn counted text into connections; what cannot be one is bad, as often as it was seen.

    ``bad`` rows were left out before counting, ``problems`` the first of them. Raises TrafficError
    where more than a tenth of ``total`` rows is bad.
    """
    traffic = RecordedTraffic(records=total, bad=bad, problems=list(problems))
    ends, services, marks = _Ends(), _Services(), _Marks()
    known: dict[tuple[int, int, tuple[int, int], bool], RecordedConnection] = {}
    phases: dict[int, list[int]] = {}
    for key, count in counts.items():
        times = count.rows
        try:
            src, dst, service = ends[key[0]], ends[key[1]], services[key[2:4]]
            mark = marks[key[4:]]
            if src is not None and dst is not None and src.version != dst.version:
                raise ValueError("ends of two address families")
        except ValueError as error:
            traffic.problems.append(RowProblem(count.line, str(error)))
            traffic.bad += times
            continue
        if src is None or dst is None or service is None:
            traffic.unjudged += times
            continue
        same = (id(src), id(dst), service, mark.through)
        seen = known.get(same)
        if seen is None:
            seen = known[same] = RecordedConnection()
            half = traffic.carried if mark.through else traffic.blocked
            half.append((Connection(src, dst, *service), seen))
        # An end repeats a start, and NetFlow's other direction the first: there were as many
        # connections as of the more numerous.
        counted = phases.setdefault(id(seen), [0, 0])
        before = max(counted)
        counted[mark.half] += times
        seen.connections += max(counted) - before
        seen.bytes += count.bytes
        seen.last = max(seen.last, count.last)
        seen.first = min(seen.first, count.first)
        if mark.failed:
            seen.failed += times
        elif mark.failed is None and service[0] == TCP:
            seen.failed += count.few
    traffic.problems = sorted(traffic.problems, key=lambda each: each.line)[:SHOWN]
    if traffic.bad > BAD_SHARE * total:
        first = "".join(f"{each.line}: {each.reason}; " for each in traffic.problems[:1])
        raise TrafficError(
            f"{name}:{first}{traffic.bad} of {total} rows are bad, more than a tenth"
        )
    return traffic


@dataclass(frozen=True, slots=True)
class _Mark:
    """The meaning of a row's verdict, phase and state: whether it passed; 1 for the end of a
    connection, 0 for its start or all of it; whether it failed, None where unknown."""

    through: bool
    half: int
    failed: bool | None


class _Marks(dict[tuple[str, ...], _Mark]):
    def __missing__(self, words: tuple[str, ...]) -> _Mark:
        (
            rows.state(words[0], "state"),
            rows.verdict(words[1], "verdict"),
            rows.phase(words[2], "phase"),
        )
        state, verdict, phase = (word.strip().lower() for word in words)
        mark = self[words] = _Mark(
            state not in _BLOCKED and verdict not in _BLOCKED,
            1 if phase == "end" else 0,
            state in _FAILED if state else None,
        )
        return mark


_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")


class _Ends(dict[str, Address | None]):
    """Addresses as written, each looked at once; equal ones are one object. None: a MAC, which
    is all that some frames have."""

    def __init__(self) -> None:
        self._same: dict[tuple[int, int], Address] = {}

    def __missing__(self, text: str) -> Address | None:
        if _MAC.fullmatch(text.strip()):
            self[text] = None
            return None
        value = _plain_address(text) or _address(text.strip())
        found = self[text] = self._same.setdefault((value.version, int(value)), value)
        return found


class _Services(dict[tuple[str, ...], tuple[int, int] | None]):
    """Protocols and ports as written; None for a protocol that no policy can judge."""

    def __init__(self) -> None:
        self._same: dict[tuple[int, int], tuple[int, int]] = {}

    def __missing__(self, words: tuple[str, ...]) -> tuple[int, int] | None:
        proto, port = words
        number = _protocol(proto)
        found = None
        if number is not None:
            pair = (number, _port(port, number))
            found = self._same.setdefault(pair, pair)
        self[words] = found
        return found


_OCTETS = {str(number): number for number in range(256)}


def _plain_address(text: str) -> Address | None:
    """An IPv4 address in its usual form, several times faster than with all checks."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    try:
        a, b, c, d = (_OCTETS[part] for part in parts)
    except KeyError:
        return None
    return IPv4Address(a << 24 | b << 16 | c << 8 | d)


def _address(text: str) -> Address:
    """Any other address; IPv4 written as IPv6 is IPv4. Raises ValueError."""
    try:
        value = ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv4 or IPv6 address") from None
    return (value.ipv4_mapped if isinstance(value, IPv6Address) else None) or value


def _protocol(text: str) -> int | None:
    word = text.strip().lower()
    if word.isascii() and word.isdigit() and len(word) < 10:
        if int(word) > 255:
            raise ValueError(f"'{text}' is not a protocol")
        return int(word)
    return _PROTOCOLS.get(word)


def _port(text: str, proto: int) -> int:
    """A port, or ICMP's type; a recording that names no type, or 0 for none, means pings."""
    word = text.strip()
    if not word or word == "None":
        return _ECHO_REQUEST.get(proto, 0)
    return rows.port(word, "port") or _ECHO_REQUEST.get(proto, 0)

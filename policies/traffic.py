"""Recorded traffic as the connections it amounts to: who spoke to whom on what, and how often.

A policy treats all connections between two addresses on one service alike, so
a recording is counted by them before it is judged. Contract CSV is counted
straight from its cells, a block of rows at a time, and each distinct
connection checked once; every other form goes through the ordinary readers.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import compress, islice, repeat
from pathlib import Path
from typing import IO

from policies import scalars
from policies.bulk import no_collecting
from policies.model import ICMP, ICMPV6, PROTOCOL_NUMBERS, TCP, Address, Connection
from topology.readers import TrafficError, read_records
from topology.records import FlowRecord

BAD_SHARE = 0.10
BLOCK = 2048  # rows counted together: few enough to stay in the processor's cache
_PROTOCOLS = PROTOCOL_NUMBERS | {
    "igmp": 2, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "ospf": 89,
    "pim": 103, "vrrp": 112, "udplite": 136,
}  # fmt: skip
_ICMP_WORDS = frozenset({"icmp", "1", "icmpv6", "ipv6-icmp", "58"})
_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
_BLOCKED = frozenset({"denied", "deny"})
_FAILED = frozenset({"rejected", "unanswered"})
_TOO_FEW = frozenset({"0", "1", "2"})  # packets: a TCP handshake alone takes three
# Rows with one key are one kind of connection: source, target, protocol, port (or ICMP type),
# state, verdict and phase, all as written.
Key = tuple[str, str, str, str, str, str, str]


@dataclass(slots=True)
class Seen:
    """What was recorded of one kind of connection; times in seconds since the epoch.

    ``failed`` of the connections were refused or never answered, as far as
    the recording tells.
    """

    connections: int = 0
    bytes: int = 0
    last: float = 0.0
    failed: int = 0


@dataclass(slots=True)
class Traffic:
    """Distinct connections with their counts, split by whether the network let them through.

    ``records`` were read, ``bad`` of them left out; ``unjudged`` name no
    protocol that a policy could judge. Equal addresses are one object.
    """

    carried: list[tuple[Connection, Seen]] = field(default_factory=list)
    blocked: list[tuple[Connection, Seen]] = field(default_factory=list)
    records: int = 0
    bad: int = 0
    unjudged: int = 0

    @property
    def newest(self) -> float:
        return max((seen.last for _, seen in (*self.carried, *self.blocked)), default=0.0)


def read_traffic(source: str | Path) -> Traffic:
    """Count a recording. Raises TrafficError for one that cannot be read or is mostly bad."""
    if str(source) == "-":
        return traffic_of(read_records(source))
    try:
        with no_collecting(), _open(Path(source)) as binary:
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
            columns = _columns(text.readline())
            if columns is not None:
                return _from_cells(columns, text, str(source))
    except OSError as problem:
        raise TrafficError(f"{source}: {problem.strerror or problem}") from None
    except (EOFError, zlib.error, ValueError, csv.Error) as problem:
        raise TrafficError(f"{source}: damaged or not text ({problem})") from None
    return traffic_of(read_records(source))


def traffic_of(records: Iterable[FlowRecord]) -> Traffic:
    """Count flow records."""
    counts = _Counts()
    total = 0
    for total, record in enumerate(records, 1):
        port = record.src_port if record.proto in _ICMP_WORDS else record.dst_port
        verdict = "deny" if record.verdict == "deny" else ""
        key = (
            record.src_ip, record.dst_ip, record.proto, str(port),
            record.state or "", verdict, record.phase,
        )  # fmt: skip
        size = record.bytes
        if size is None:
            size = (record.bytes_out or 0) + (record.bytes_in or 0)
        few = record.packets is not None and record.packets < 3 or record.packets_in == 0
        counts.add([key], [size], [record.ts], [few and record.phase != "start"], [total])
    return _connections(counts, total, 0, "the records")


class _Index(dict[Key, int]):
    """Numbers keys in the order they are first asked for."""

    def __missing__(self, key: Key) -> int:
        number = self[key] = len(self)
        return number


class _Counts:
    """Sums per key; a key's number is its place in every list."""

    def __init__(self) -> None:
        self.index = _Index()
        self.rows: list[int] = []
        self.bytes: list[int] = []
        self.last: list[float] = []
        self.few: list[int] = []
        self.first: list[int] = []

    def add(
        self,
        keys: Iterable[Key],
        sizes: Iterable[int],
        moments: Iterable[float],
        few: Iterable[bool],
        lines: Iterable[int],
    ) -> None:
        """Count rows that stand on ``lines`` of the file."""
        numbers = list(map(self.index.__getitem__, keys))
        new = len(self.index) - len(self.rows)
        for each in (self.rows, self.bytes, self.few):
            each.extend(repeat(0, new))
        self.last.extend(repeat(0.0, new))
        if new:
            for number, line in zip(numbers, lines, strict=True):
                if number == len(self.first):
                    self.first.append(line)
        rows, total, last = self.rows, self.bytes, self.last
        for number, size, moment in zip(numbers, sizes, moments, strict=True):
            rows[number] += 1
            total[number] += size
            if moment > last[number]:
                last[number] = moment
        for number in compress(numbers, few):
            self.few[number] += 1


# Contract CSV


def _open(path: Path) -> IO[bytes]:
    raw = path.open("rb")
    if raw.peek(2)[:2] == b"\x1f\x8b":
        return gzip.open(raw)  # type: ignore[return-value]
    return raw


def _columns(header: str) -> list[str] | None:
    """The column names of contract CSV, or None for any other form."""
    names = [name.strip().lower() for name in next(csv.reader([header]), [])]
    return names if {"ts", "src_ip", "dst_ip"} <= set(names) else None


def _from_cells(columns: Sequence[str], text: Iterable[str], name: str) -> Traffic:
    counts = _Counts()
    total = bad = 0
    start = 2  # the header is line 1
    stream = iter(text)
    while lines := list(islice(stream, BLOCK)):
        where: Sequence[int] = range(start, start + len(lines))
        block = _plain_block(columns, lines)
        if block is None:
            # Row by row, as a bad row must not take others with it. No cell may span lines.
            rows = [next(csv.reader([line]), []) for line in lines]
            good = [at for at, row in enumerate(rows) if _is_good(columns, row)]
            total += sum(map(bool, rows))
            bad += sum(map(bool, rows)) - len(good)
            where = [where[at] for at in good]
            block = _Block(columns, list(zip(*(rows[at] for at in good), strict=True)))
        else:
            total += len(lines)
        counts.add(block.keys(), block.sizes, block.moments, block.few(), where)
        start += len(lines)
    return _connections(counts, total, bad, name)


def _plain_block(columns: Sequence[str], lines: Sequence[str]) -> _Block | None:
    """The lines as columns, if no cell is quoted and every row is good."""
    commas = len(columns) - 1
    text = "".join(lines)
    if '"' in text or {line.count(",") for line in lines} != {commas}:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    cells = text.removesuffix("\n").replace("\n", ",").split(",")
    if len(cells) != len(lines) * len(columns):
        return None
    try:
        return _Block(columns, [cells[at :: len(columns)] for at in range(len(columns))])
    except ValueError:
        return None


def _is_good(columns: Sequence[str], row: Sequence[str]) -> bool:
    try:
        return len(row) == len(columns) and bool(_Block(columns, [[cell] for cell in row]).moments)
    except ValueError:
        return False


class _Block:
    """Rows as columns. Raises ValueError if a time or size in them is none."""

    def __init__(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        self._cells = dict(zip(columns, cells, strict=True)) if cells else {}
        self._empty = ("",) * (len(cells[0]) if cells else 0)
        self.moments = list(map(float, self._column("ts")))
        if not all(map(math.isfinite, self.moments)) or min(self.moments, default=0.0) < 0:
            raise ValueError("no time")
        self.sizes = self._sizes()

    def _column(self, name: str) -> Sequence[str]:
        return self._cells.get(name, self._empty)

    def _sizes(self) -> list[int]:
        whole, out, back = (self._column(c) for c in ("bytes", "bytes_out", "bytes_in"))
        if all(whole):
            return list(map(int, whole))
        if all(out) and all(back) and not any(whole):
            return list(map(int.__add__, map(int, out), map(int, back)))
        return [
            int(both) if both else int(one or 0) + int(other or 0)
            for both, one, other in zip(whole, out, back, strict=True)
        ]

    def keys(self) -> Iterator[Key]:
        protos, ports = self._column("proto"), self._column("dst_port")
        if not _ICMP_WORDS.isdisjoint({word.lower() for word in set(protos)}):
            ports = [
                kind if word.lower() in _ICMP_WORDS else port
                for word, kind, port in zip(protos, self._column("src_port"), ports, strict=True)
            ]
        ends = (self._column("src_ip"), self._column("dst_ip"))
        marks = (self._column(c) for c in ("state", "verdict", "phase"))
        return zip(*ends, protos, ports, *marks, strict=True)

    def few(self) -> Iterator[bool]:
        """Whether each row tells too few packets for a TCP connection to have come about."""
        if "packets" in self._cells:
            return map(_TOO_FEW.__contains__, self._column("packets"))
        return map("0".__eq__, self._column("packets_in"))


# Connections


def _connections(counts: _Counts, total: int, bad: int, name: str) -> Traffic:
    """Turn counted text into connections; what cannot be one is bad, as often as it was seen."""
    traffic = Traffic(records=total, bad=bad)
    ends, services, marks = _Ends(), _Services(), _Marks()
    known: dict[tuple[int, int, tuple[int, int], bool], Seen] = {}
    phases: dict[int, list[int]] = {}
    problem = ""
    for key, number in counts.index.items():
        rows = counts.rows[number]
        try:
            src, dst, service = ends[key[0]], ends[key[1]], services[key[2:4]]
            if src.version != dst.version:
                raise ValueError("ends of two address families")
        except ValueError as error:
            problem = problem or f"{name}:{counts.first[number]}: {error}"
            traffic.bad += rows
            continue
        if service is None:
            traffic.unjudged += rows
            continue
        mark = marks[key[4:]]
        same = (id(src), id(dst), service, mark.through)
        seen = known.get(same)
        if seen is None:
            seen = known[same] = Seen()
            half = traffic.carried if mark.through else traffic.blocked
            half.append((Connection(src, dst, *service), seen))
        if mark.half is None:
            seen.connections += rows
        else:
            # An end repeats its start: there were as many as of the more numerous.
            counted = phases.setdefault(id(seen), [0, 0])
            before = max(counted)
            counted[mark.half] += rows
            seen.connections += max(counted) - before
        seen.bytes += counts.bytes[number]
        seen.last = max(seen.last, counts.last[number])
        if mark.failed:
            seen.failed += rows
        elif mark.failed is None and service[0] == TCP:
            seen.failed += counts.few[number]
    if traffic.bad > BAD_SHARE * total:
        where = problem or name
        raise TrafficError(f"{where}; {traffic.bad} of {total} rows are bad, more than a tenth")
    return traffic


@dataclass(frozen=True, slots=True)
class _Mark:
    """What the words of a row say: let through; 0 for a start, 1 for an end; whether it failed,
    None where nothing says so."""

    through: bool
    half: int | None
    failed: bool | None


class _Marks(dict[tuple[str, ...], _Mark]):
    def __missing__(self, words: tuple[str, ...]) -> _Mark:
        state, verdict, phase = (word.strip().lower() for word in words)
        mark = self[words] = _Mark(
            state not in _BLOCKED and verdict not in _BLOCKED,
            {"start": 0, "end": 1}.get(phase),
            state in _FAILED if state else None,
        )
        return mark


class _Ends(dict[str, Address]):
    """Addresses as written, each looked at once; equal ones are one object."""

    def __init__(self) -> None:
        self._same: dict[tuple[int, int], Address] = {}

    def __missing__(self, text: str) -> Address:
        value = _plain_address(text) or scalars.address(text.strip())
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


def _protocol(text: str) -> int | None:
    word = text.strip().lower()
    if word.isascii() and word.isdigit() and len(word) < 10:
        if int(word) > 255:
            raise ValueError(f"'{text}' is not a protocol")
        return int(word)
    return _PROTOCOLS.get(word)


def _port(text: str, proto: int) -> int:
    """A port, or ICMP's type; a recording that names no type is taken for pings."""
    word = text.strip()
    if not word or word == "None":
        return _ECHO_REQUEST.get(proto, 0)
    value = int(word, 16) if word[:2] in ("0x", "0X") else int(word)
    if not 0 <= value <= 65_535:
        raise ValueError(f"'{text}' is not a port")
    return value


def connections(traffic: Traffic) -> Iterator[tuple[Connection, Seen, bool]]:
    """Every distinct connection, what was seen of it, and whether it got through."""
    for connection, seen in traffic.carried:
        yield connection, seen, True
    for connection, seen in traffic.blocked:
        yield connection, seen, False

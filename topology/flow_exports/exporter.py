"""Flow exports as routers send them: NetFlow 5 and 9 (RFC 3954) and IPFIX (RFC 7011).

Datagrams come from anybody: nothing in them is trusted. Every length is checked, templates and
domains are bounded for each exporter, and what is not understood is counted. A row is one
direction of a connection; `topology.readers.one_way_rows` pairs them.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from topology.flow_exports.rows import (
    VERSION_5_SIZE,
    ElementKey,
    number_of,
    row_of_elements,
    row_of_version_5,
)
from topology.records import FlowRecord

MAX_TEMPLATES = 256  # of one exporter; the one that is longest unused makes room
MAX_FIELDS = 256  # of one template
MAX_DOMAINS = 64  # observation domains and engines whose sequence is followed
VARIABLE = 0xFFFF
RESTARTED = 1 << 31  # a jump of more is an exporter that began anew, or old datagrams

_V5_HEADER = struct.Struct("!HHIIIIBBH")
_V9_HEADER = struct.Struct("!HHIIII")
_IPFIX_HEADER = struct.Struct("!HHIII")
_PAIR = struct.Struct("!HH")

Stream = tuple[int, int]
"""A version and an observation domain, or engine: what a sequence number counts."""


class BadExport(ValueError):
    """A datagram that is no flow export, or breaks off."""


@dataclass(frozen=True, slots=True)
class _Template:
    fields: tuple[tuple[ElementKey, int], ...]
    options: bool
    shortest: int  # bytes that a record of it has at least


@dataclass(slots=True)
class ExportCounts:
    """Of one exporter, since the start. ``lost`` is in rows (NetFlow 9: in datagrams)."""

    datagrams: int = 0
    rows: int = 0
    bad: int = 0
    lost: int = 0
    untemplated: int = 0
    without_addresses: int = 0
    sampling: int = 1


@dataclass(slots=True)
class Exporter:
    """What is remembered of one exporter."""

    address: str
    counts: ExportCounts = field(default_factory=ExportCounts)
    _templates: OrderedDict[tuple[int, int, int], _Template] = field(default_factory=OrderedDict)
    _expected: OrderedDict[Stream, int] = field(default_factory=OrderedDict)

    def read(self, data: bytes) -> list[FlowRecord]:
        """The rows of one datagram. Raises `BadExport`; rows before the fault are lost with it."""
        self.counts.datagrams += 1
        try:
            rows = self._read(data)
        except (struct.error, IndexError):
            self.counts.bad += 1
            raise BadExport("it breaks off") from None
        except BadExport:
            self.counts.bad += 1
            raise
        self.counts.rows += len(rows)
        return rows

    def _read(self, data: bytes) -> list[FlowRecord]:
        (version,) = struct.unpack_from("!H", data)
        if version == 5:
            return self._version_5(data)
        if version == 9:
            _, _, uptime, seconds, sequence, domain = _V9_HEADER.unpack_from(data)
            rows, _ = self._sets(data, _V9_HEADER.size, (9, domain), seconds - uptime / 1000.0)
            self._follow((9, domain), sequence, 1)
            return rows
        if version == 10:
            _, length, seconds, sequence, domain = _IPFIX_HEADER.unpack_from(data)
            if not _IPFIX_HEADER.size <= length <= len(data):
                raise BadExport(f"it says it has {length} bytes and has {len(data)}")
            rows, records = self._sets(data[:length], _IPFIX_HEADER.size, (10, domain), seconds)
            self._follow((10, domain), sequence, records)
            return rows
        raise BadExport(f"version {version} is not NetFlow 5, 9 or IPFIX (10)")

    def _follow(self, stream: Stream, sequence: int, count: int) -> None:
        """Notice what was lost before this datagram."""
        expected = self._expected.get(stream)
        if expected is not None and (gap := (sequence - expected) % (1 << 32)):
            if gap > RESTARTED:
                if (expected - sequence) % (1 << 32) < 4_096 and sequence:
                    return  # one that was overtaken: it was counted as lost, or seen before
            else:
                self.counts.lost += gap
        self._expected[stream] = (sequence + count) % (1 << 32)
        self._expected.move_to_end(stream)
        if len(self._expected) > MAX_DOMAINS:
            self._expected.popitem(last=False)

    # -- NetFlow 5 -------------------------------------------------------------

    def _version_5(self, data: bytes) -> list[FlowRecord]:
        _, count, uptime, seconds, nano, sequence, kind, engine, sampling = _V5_HEADER.unpack_from(
            data
        )
        if len(data) < _V5_HEADER.size + count * VERSION_5_SIZE:
            raise BadExport(f"it says it has {count} rows and breaks off")
        booted = seconds + nano / 1e9 - uptime / 1000.0
        self.counts.sampling = max(1, sampling & 0x3FFF)
        rows = []
        for at in range(count):
            rows.append(row_of_version_5(data, _V5_HEADER.size + at * VERSION_5_SIZE, booted))
        self._follow((5, kind << 8 | engine), sequence, count)
        return rows

    # -- NetFlow 9 and IPFIX ---------------------------------------------------

    def _sets(
        self, data: bytes, at: int, stream: Stream, base: float
    ) -> tuple[list[FlowRecord], int]:
        """Rows, and the number of data records. ``base`` is when the exporter started (NetFlow 9)
        or when it sent this (IPFIX)."""
        rows: list[FlowRecord] = []
        records = 0
        while at + 4 <= len(data):
            number, length = _PAIR.unpack_from(data, at)
            if length < 4 or at + length > len(data):
                raise BadExport(f"a set of {length} bytes in {len(data) - at}")
            body = data[at + 4 : at + length]
            at += length
            if number >= 256:
                found = self._data(body, (*stream, number), base)
                records += len(found)
                rows += (row for row in found if row is not None)
            elif number in (0, 2):
                self._take_templates(body, stream, number == 2)
            elif number in (1, 3):
                self._take_options(body, stream, number == 3)
        return rows, records

    def _take_templates(self, body: bytes, stream: Stream, ipfix: bool) -> None:
        at = 0
        while at + 4 <= len(body):
            number, count = _PAIR.unpack_from(body, at)
            at += 4
            if number < 256:
                return  # padding
            fields, at = _fields(body, at, count, ipfix)
            self._keep((*stream, number), fields, options=False)

    def _take_options(self, body: bytes, stream: Stream, ipfix: bool) -> None:
        at = 0
        while at + 6 <= len(body):
            number, first, second = struct.unpack_from("!HHH", body, at)
            at += 6
            if number < 256:
                return
            # IPFIX gives the number of all fields and of scopes, NetFlow 9 the bytes of either.
            count = first if ipfix else (first + second) // 4
            fields, at = _fields(body, at, count, ipfix)
            if not ipfix:
                scopes = first // 4
                fields = tuple(
                    ((-1, key[1]), length) if index < scopes else (key, length)
                    for index, (key, length) in enumerate(fields)
                )
            self._keep((*stream, number), fields, options=True)

    def _keep(
        self, name: tuple[int, int, int], fields: tuple[tuple[ElementKey, int], ...], options: bool
    ) -> None:
        self._templates.pop(name, None)
        if not fields:
            return  # withdrawn
        shortest = sum(1 if length == VARIABLE else length for _, length in fields)
        if not shortest:
            raise BadExport("a template of records without any bytes")
        self._templates[name] = _Template(fields, options, shortest)
        if len(self._templates) > MAX_TEMPLATES:
            self._templates.popitem(last=False)

    def _data(
        self, body: bytes, name: tuple[int, int, int], base: float
    ) -> list[FlowRecord | None]:
        template = self._templates.get(name)
        if template is None:
            self.counts.untemplated += 1
            return []
        self._templates.move_to_end(name)
        found: list[FlowRecord | None] = []
        at = 0
        while at + template.shortest <= len(body):
            values, at = _values(body, at, template)
            if template.options:
                self._take_sampling(values)
                found.append(None)
                continue
            row = row_of_elements(values, base, name[0] == 9)
            self.counts.without_addresses += row is None
            found.append(row)
        return found

    def _take_sampling(self, values: Mapping[ElementKey, bytes]) -> None:
        for element in (34, 50, 305):
            if (value := values.get((0, element))) is not None:
                self.counts.sampling = max(1, min(number_of(value), 1 << 24))


def _fields(
    body: bytes, at: int, count: int, ipfix: bool
) -> tuple[tuple[tuple[ElementKey, int], ...], int]:
    if count > MAX_FIELDS:
        raise BadExport(f"a template of {count} fields")
    fields = []
    for _ in range(count):
        element, length = _PAIR.unpack_from(body, at)
        at += 4
        enterprise = 0
        if ipfix and element & 0x8000:
            (enterprise,) = struct.unpack_from("!I", body, at)
            element &= 0x7FFF
            at += 4
        fields.append(((enterprise, element), length if ipfix or length != VARIABLE else 0))
    return tuple(fields), at


def _values(body: bytes, at: int, template: _Template) -> tuple[dict[ElementKey, bytes], int]:
    """One record's values by element, and where the next one begins."""
    values: dict[ElementKey, bytes] = {}
    for key, length in template.fields:
        if length == VARIABLE:
            length = body[at]
            at += 1
            if length == 255:
                (length,) = struct.unpack_from("!H", body, at)
                at += 2
        if at + length > len(body):
            raise BadExport("a record breaks off")
        values.setdefault(key, body[at : at + length])
        at += length
    return values, at

"""What a switch can do: requested when it connects, and what follows from the replies.

The requests are OpenFlow 1.3's own (tables, meters, groups, description) and
one bundle that is opened and discarded, which shows whether the switch takes
atomic changes. None of them changes anything. What the switch does not answer
stays unknown.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from policies.compiler.targets import TABLES, SwitchTarget
from policies.rules.layout import RuleTable, StatelessTable
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import MULTIPART_SIZE, Malformed, multipart_more
from ryu_apps.openflow.fields import BY_HEADER
from ryu_apps.switch.transactions import Transactions

DESCRIPTION, GROUP_FEATURES, METER_FEATURES, TABLE_FEATURES = 0, 8, 11, 12
OPEN_VSWITCH = "Open vSwitch"
MATCH_PROPERTY = 8
_TABLE = struct.Struct("!HBxxxxx32sQQII")
_METER = struct.Struct("!IIIBBxx")
TRACKED = frozenset({"ct_state", "ct_mark", "ct_nw_src", "ct_ipv6_src", "ct_tp_dst", "reg0"})

PATIENCE = 10.0  # seconds without the last reply until the requests are repeated


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """``fields`` and ``masked`` are the names of what it matches, whole and under a mask."""

    size: int
    fields: frozenset[str]
    masked: frozenset[str]
    metadata: int  # bits of the metadata that its rules can write


@dataclass(frozen=True, slots=True)
class SwitchCapabilities:
    """``meters`` None: not known. ``refused`` are the requests that were answered by an error."""

    tables: int = 0
    listed: Mapping[int, TableFeatures] = field(default_factory=dict)
    meters: int | None = None
    groups: int | None = None
    bundles: bool = False
    description: str = ""
    refused: frozenset[str] = frozenset()

    @property
    def target(self) -> SwitchTarget:
        """The most capable kind of rules that the switch can hold."""
        if self.bundles and self._holds(SwitchTarget.STATEFUL) and self._tracks():
            return SwitchTarget.STATEFUL
        if self._holds(SwitchTarget.STATELESS) and self._carries_metadata():
            return SwitchTarget.STATELESS
        return SwitchTarget.SINGLE

    @property
    def port_masks(self) -> bool:
        """Whether ports can be matched under a mask; OpenFlow does not demand it."""
        listed = self.listed.values()
        return bool(listed) and all("tcp_dst" in each.masked for each in listed)

    @property
    def sizes(self) -> dict[int, int]:
        """Entries of each table, as far as the switch reports them."""
        return {number: each.size for number, each in self.listed.items()}

    def _holds(self, target: SwitchTarget) -> bool:
        if self.listed:
            return all(number in self.listed for number in TABLES[target])
        return self.tables >= len(TABLES[target])

    def _tracks(self) -> bool:
        if not self.listed:
            return self.description.startswith(OPEN_VSWITCH)
        return all(TRACKED <= self.listed[number].fields for number in RuleTable)

    def _carries_metadata(self) -> bool:
        needed = (1 << 63) - 1
        return not self.listed or all(
            self.listed[number].metadata & needed == needed for number in StatelessTable
        )

    def lacks(self) -> Iterator[str]:
        """What it cannot do, in words, whatever its rules are."""
        if not self.bundles:
            yield "no atomic bundles: a change is written rule by rule, new ones before old ones go"
        if self.meters == 0:
            yield "no meters: what is sent to the controller is limited there, not on the switch"
        if "tables" in self.refused or not self.listed:
            yield "it does not report its tables' sizes: that one is full shows only in its refusal"


@dataclass(slots=True)
class CapabilityProbe:
    """The requests to one switch, and the replies so far; done when its barrier is answered."""

    tables: int
    transactions: Transactions
    _asked: dict[int, str] = field(default_factory=dict)
    _barrier: int = 0
    _refused: set[str] = field(default_factory=set)
    _listed: dict[int, TableFeatures] = field(default_factory=dict)
    _meters: int | None = None
    _groups: int | None = None
    _description: str = ""

    def ask(self, now: float) -> bytes:
        """The requests, which time out after `PATIENCE`."""
        until, data = now + PATIENCE, []
        for kind, name in (
            (DESCRIPTION, "description"),
            (TABLE_FEATURES, "tables"),
            (METER_FEATURES, "meters"),
            (GROUP_FEATURES, "groups"),
        ):
            data.append(messages.multipart(self._question(name, until), kind))
        data.append(messages.empty_bundle(self._question("bundles", until)))
        self._barrier = self.transactions.begin(self, until)
        return b"".join(data) + messages.barrier(self._barrier)

    def _question(self, name: str, until: float) -> int:
        xid = self.transactions.begin(self, until)
        self._asked[xid] = name
        return xid

    def refuse(self, xid: int) -> None:
        """A request was answered by an error."""
        if (name := self._asked.get(xid)) is not None:
            self._refused.add(name)

    def take(self, xid: int, buf: bytes) -> None:
        """Take a reply in. Raises Malformed for bytes that are none."""
        name = self._asked.get(xid)
        try:
            if name == "tables":
                self._listed.update(_tables(buf))
            elif name == "meters":
                self._meters = _METER.unpack_from(buf, MULTIPART_SIZE)[0]
            elif name == "groups":
                self._groups = max(struct.unpack_from("!4I", buf, MULTIPART_SIZE + 8))
            elif name == "description":
                hardware, software = struct.unpack_from("!256x256s256s", buf, MULTIPART_SIZE)
                self._description = f"{_text(hardware)} {_text(software)}".strip()
        except struct.error as error:
            raise Malformed(f"features of {len(buf)} bytes: {error}") from error
        if name is not None and not multipart_more(buf):
            del self._asked[xid]
            self.transactions.end(xid)

    def done(self, xid: int) -> SwitchCapabilities | None:
        """What the switch can do, when ``xid`` is that of the barrier that ends the replies."""
        if xid != self._barrier:
            return None
        refused = frozenset({*self._refused, *(set(self._asked.values()) - {"bundles"})})
        meters = 0 if "meters" in refused else self._meters
        return SwitchCapabilities(
            self.tables,
            self._listed,
            meters,
            self._groups,
            "bundles" not in refused,
            self._description,
            refused,
        )


def _tables(buf: bytes) -> Iterator[tuple[int, TableFeatures]]:
    at = MULTIPART_SIZE
    while at < len(buf):
        length, number, _, _, writes, _, size = _TABLE.unpack_from(buf, at)
        if length < _TABLE.size or at + length > len(buf):
            raise Malformed(f"table features at byte {at}: length {length}")
        fields, masked = _matched(buf[at + _TABLE.size : at + length])
        yield number, TableFeatures(size, fields, masked, writes)
        at += length


def _matched(properties: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the fields that a table's rules match, and of those that take a mask."""
    at = 0
    while at + 4 <= len(properties):
        kind, length = struct.unpack_from("!HH", properties, at)
        if kind == MATCH_PROPERTY:
            return _named(properties[at + 4 : at + length])
        at += max(4, (length + 7) // 8 * 8)
    return frozenset(), frozenset()


@lru_cache(maxsize=64)
def _named(listed: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Most switches say the same of every table."""
    fields, masked = set(), set()
    for place in range(0, len(listed) - 3, 4):
        header = int.from_bytes(listed[place : place + 4], "big")
        known = BY_HEADER.get(header >> 9)
        if known is not None:
            fields.add(known.name)
            if header >> 8 & 1:
                masked.add(known.name)
    return frozenset(fields), frozenset(masked)


def _text(padded: bytes) -> str:
    """A fixed-size string: printable characters only, for logs and screens."""
    text = padded.partition(b"\0")[0].decode("ascii", "replace")
    return "".join(each for each in text if each.isprintable())[:64]

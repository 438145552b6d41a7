"""Entries of a feed, and remarks on what could not be used."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Literal

from policies.model import Service
from policies.semantics.prefix_sets import Span, network_of
from policies.semantics.prefixes import Prefix, prefix_of

Direction = Literal["any", "to", "from"]
"""Of the listed address: it is the responder (``to``), the initiator (``from``), or either."""

MAX_ENTRIES = 1_000_000
MAX_NOTES = 100
"""Remarks kept with their place; the rest are counted by reason."""

MAX_SHOWN = 80  # characters of a feed's own text in a remark


class FeedError(ValueError):
    """A feed cannot be used as a whole; its last good copy stays in force. One line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``line`` is the line of a text, or the number of an object in a bundle, from 1.

    ``service`` None is every service. ``confidence`` 0 to 100, None where the feed gives none;
    it holds from ``starts`` until ``ends``, in seconds since the epoch, None for no limit.
    """

    line: int
    prefix: Prefix
    service: Service | None = None
    direction: Direction = "any"
    confidence: int | None = None
    starts: float | None = None
    ends: float | None = None

    @property
    def range(self) -> tuple[int, int]:
        """First and last address, as `policies.semantics.prefix_sets.number_of` numbers them."""
        start, wide = self.prefix
        return start, start - wide - 1

    @property
    def text(self) -> str:
        return str(network_of(Span(*self.prefix)))


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about one entry: where it stands, its text, and why it is not used."""

    line: int
    text: str
    reason: str


@dataclass(slots=True)
class Notes:
    """Remarks, the first `MAX_NOTES` with their places, all of them counted by reason."""

    first: list[Note] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, line: int, text: str, reason: str) -> None:
        self.counts[reason] += 1
        if len(self.first) < MAX_NOTES:
            shown = "".join(c if c.isprintable() else "?" for c in text[:MAX_SHOWN])
            self.first.append(Note(line, shown, reason))

    @property
    def total(self) -> int:
        return self.counts.total()


@dataclass(slots=True)
class FeedReading:
    """All that one feed's bytes gave: entries in order, and remarks on what gave none.

    ``bad`` is unreadable, ``passed_over`` is readable and of no use here (a file's hash, a
    revoked indicator).
    """

    entries: list[Entry] = field(default_factory=list)
    bad: Notes = field(default_factory=Notes)
    passed_over: Notes = field(default_factory=Notes)

    def add(self, entry: Entry) -> None:
        if len(self.entries) >= MAX_ENTRIES:
            raise FeedError(f"more than {MAX_ENTRIES:,} entries")
        self.entries.append(entry)


_PLAIN = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})(?:/([0-9]{1,2}))?")


def prefixes_of(text: str) -> tuple[Prefix, ...]:
    """The networks of ``10.0.0.0/8``, ``10.0.0.1``, or a range ``10.0.0.1-10.0.0.9``.

    Raises ValueError with a reason that does not repeat the text. Set host bits are an error:
    whether the address or the network is meant cannot be known.
    """
    plain = _PLAIN.fullmatch(text)
    if plain is not None and (found := _plain_prefix(plain)) is not None:
        return (found,)
    first, dash, last = text.partition("-")
    try:
        if dash:
            low, high = ip_address(first.strip()), ip_address(last.strip())
            return tuple(map(prefix_of, summarize_address_range(low, high)))
        return (prefix_of(ip_network(text)),)
    except (ValueError, TypeError):
        pass
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError("no address, network or range") from None
    raise ValueError("host bits are set")


def _plain_prefix(found: re.Match[str]) -> Prefix | None:
    """What nearly every entry is, at a tenth of the time; None leaves it to `ipaddress`."""
    a, b, c, d, length = found.groups()
    number = 0
    for octet in (a, b, c, d):
        value = int(octet)
        if value > 255 or (octet[0] == "0" and len(octet) > 1):
            return None
        number = number << 8 | value
    size = 1 if length is None else 1 << 32 - int(length) if int(length) <= 32 else 0
    return (number, -size) if size and not number & (size - 1) else None


_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9-]+)")


def endpoint_of(text: str) -> tuple[str, Service | None]:
    """An address and, from ``192.0.2.1:443`` or ``[2001:db8::1]:443``, its one TCP port.

    The address is not looked at. Raises ValueError for a port that is none.
    """
    found = _WITH_PORT.fullmatch(text)
    if found is None:
        return text, None
    return found[1] or found[2], port_of(found[3])


def port_of(text: str, proto: str = "") -> Service:
    """A service from a port (``443``, ``8000-8010``, empty) and a protocol (``tcp`` if left out).

    Raises ValueError.
    """
    numbers = {"": 6, "tcp": 6, "udp": 17, "sctp": 132}
    protocol = proto.strip().lower()
    if protocol not in numbers:
        raise ValueError("an unknown protocol")
    low, dash, high = text.strip().partition("-")
    if not low:
        return Service(numbers[protocol])
    if not (low.isascii() and low.isdigit() and (not dash or high.isascii() and high.isdigit())):
        raise ValueError("no port")
    first = int(low)
    last = int(high) if dash else first
    if not 0 <= first <= last <= 0xFFFF:
        raise ValueError("no port")
    return Service(numbers[protocol], first, last)

"""What the rules of intents, decisions, feeds and counted connections have met, by their counters.

A listing may have tens of thousands of entries, so nothing of an entry is read but its cookie and
its counters. It is requested when somebody asks for the counters, and not in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.rules.layout import Category, category_of, number_of
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import counters, multipart_more
from ryu_apps.switch.listing_length import ListingLength
from ryu_apps.switch.transactions import Transactions

_JUDGING = (Category.INTENT, Category.RETAINED)


@dataclass(slots=True)
class Carried:
    """Of ``rules`` together, since each was written."""

    rules: int = 0
    packets: int = 0
    octets: int = 0

    def add(self, packets: int, octets: int) -> None:
        self.rules += 1
        self.packets += packets
        self.octets += octets


@dataclass(slots=True)
class IntentCounters:
    """``intents``, ``decisions`` and ``feeds`` by their number; ``connections`` are those that the
    switch counts now, whose packets are among those of the intents."""

    intents: dict[int, Carried] = field(default_factory=dict)
    decisions: dict[int, Carried] = field(default_factory=dict)
    feeds: dict[int, Carried] = field(default_factory=dict)
    default: Carried = field(default_factory=Carried)
    connections: Carried = field(default_factory=Carried)

    def add(self, cookie: int, packets: int, octets: int) -> None:
        category = category_of(cookie)
        if category == Category.COUNT:
            self.connections.add(packets, octets)
        elif category in _JUDGING:
            self.intents.setdefault(number_of(cookie), Carried()).add(packets, octets)
        elif category == Category.DEFAULT:
            self.default.add(packets, octets)
        elif category == Category.DECISION:
            self.decisions.setdefault(number_of(cookie), Carried()).add(packets, octets)
        elif category == Category.FEED and number_of(cookie):
            self.feeds.setdefault(number_of(cookie), Carried()).add(packets, octets)


@dataclass(slots=True)
class SwitchCounters:
    """One switch's last whole ``tally``, complete ``at`` some time; None for never."""

    transactions: Transactions
    tally: IntentCounters = field(default_factory=IntentCounters)
    at: float | None = None
    _growing: IntentCounters = field(default_factory=IntentCounters)
    _length: ListingLength = field(default_factory=ListingLength)

    def ask(self, rules: int = 0) -> bytes:
        """The request to a switch that has so many ``rules``. The reply to an earlier one is not
        waited for any more."""
        self.transactions.withdraw(self)
        self._growing, self._length = IntentCounters(), ListingLength(rules)
        return messages.read_flows(self.transactions.begin(self))

    def take(self, buf: bytes, now: float) -> None:
        """Take one part of the reply in; one that goes on and on is waited for no more. Raises
        Malformed for bytes that are none."""
        if self._length.add(buf):
            self._growing = IntentCounters()
            return self.transactions.withdraw(self)
        for cookie, packets, octets in counters(buf):
            self._growing.add(cookie, packets, octets)
        if not multipart_more(buf):
            self.tally, self.at = self._growing, now
            self.transactions.withdraw(self)

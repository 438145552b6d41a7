"""What intents and counted connections have carried, read off the counters of their rules.

A listing may have tens of thousands of entries, so nothing of an entry is read but its cookie and
its counters. It is asked for when somebody wants to know, and not in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from policies.rules.layout import Category, category_of, number_of
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import counters, multipart_more

_JUDGING = (Category.INTENT, Category.KEPT)
_xids = count(0x5600_0000)


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
    """``intents`` by their number; ``connections`` are those that the switch counts now, whose
    packets are among those of the intents."""

    intents: dict[int, Carried] = field(default_factory=dict)
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


@dataclass(slots=True)
class SwitchCounters:
    """One switch's last whole ``tally``, complete ``at`` some time; None for never."""

    tally: IntentCounters = field(default_factory=IntentCounters)
    at: float | None = None
    _growing: IntentCounters = field(default_factory=IntentCounters)
    _asked: int = 0

    def ask(self) -> bytes:
        """The question. The answer to an earlier one is not waited for any more."""
        self._asked, self._growing = next(_xids), IntentCounters()
        return messages.read_flows(self._asked)

    def take(self, xid: int, buf: bytes, now: float) -> bool:
        """Take an answer in; False when it answers something else. Raises Malformed."""
        if xid != self._asked:
            return False
        for cookie, packets, octets in counters(buf):
            self._growing.add(cookie, packets, octets)
        if not multipart_more(buf):
            self.tally, self.at, self._asked = self._growing, now, 0
        return True

"""One reading of what a switch has: its rules and meters, requested and gathered.

The counting rules that a switch learns by itself may be tens of thousands and
do not matter here, so they are not requested: categories of cookies are
distinguished bit by bit, as far as OpenFlow's cookie mask can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policies.rules.layout import Category, RuleTable
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import flow_stats, multipart_more
from ryu_apps.openflow.encode import WireKey, WireRule
from ryu_apps.switch.listing_length import ListingLength
from ryu_apps.switch.transactions import Transactions
from topology.gc_tuning import collection_paused

TIMEOUT = 10.0  # seconds without another reply until a reading counts as failed
_CATEGORY = 48  # lowest bit of a cookie's category
_HIGH, _LOW = 1 << _CATEGORY + 3, 1 << _CATEGORY  # both are set in Category.COUNT, 9
assert int(Category.COUNT) == 0b1001


class EndlessListing(Exception):
    """A reading whose replies are longer than its rules can be."""


@dataclass(slots=True)
class TableReading:
    """``known`` are rules by their bytes in listings seen before, so that most need no parsing.

    ``touched`` are rules and meters that we changed, or that ended, since the reading was
    requested: its replies may have older versions of them.
    """

    transactions: Transactions
    known: Mapping[bytes, WireRule] = field(default_factory=dict)
    thorough: bool = False
    seen: dict[bytes, WireRule] = field(default_factory=dict)
    found: dict[WireKey, WireRule] = field(default_factory=dict)
    meters: dict[int, tuple[int, int]] = field(default_factory=dict)
    touched: set[WireKey] = field(default_factory=set)
    touched_meters: set[int] = field(default_factory=set)
    length: ListingLength = field(default_factory=ListingLength)
    _waiting: dict[int, str] = field(default_factory=dict)

    def ask(self, now: float) -> bytes:
        """The requests."""
        data = []
        for table, cookie, mask in _not_learned():
            xid = self.transactions.begin(self, now + TIMEOUT)
            self._waiting[xid] = "flows"
            data.append(messages.read_flows(xid, table, cookie, mask))
        xid = self.transactions.begin(self, now + TIMEOUT)
        self._waiting[xid] = "meters"
        data.append(messages.read_meters(xid))
        return b"".join(data)

    @collection_paused()
    def take(self, xid: int, buf: bytes, now: float) -> None:
        """One part of a reply to this reading. Raises Malformed for bytes that are none, and
        EndlessListing for one too many."""
        if self.length.add(buf):
            raise EndlessListing(str(self.length))
        if self._waiting[xid] == "flows":
            for raw, rule in flow_stats(buf, self.known):
                self.seen[raw] = rule
                self.found[rule.key] = rule
        else:
            self.meters.update(messages.meter_entries(buf))
        if not multipart_more(buf):
            del self._waiting[xid]
            self.transactions.end(xid)
        # A hundred thousand rules take a while: each part gives the rest its time.
        self.transactions.extend(self, now + TIMEOUT)

    @property
    def complete(self) -> bool:
        return not self._waiting

    def merged(self, believed: Mapping[WireKey, WireRule]) -> dict[WireKey, WireRule]:
        """What the switch has now: as read, but for what we changed meanwhile."""
        rules = dict(self.found)
        for key in self.touched:
            rule = believed.get(key)
            if rule is None:
                rules.pop(key, None)
            else:
                rules[key] = rule
        return rules


def _not_learned() -> Iterator[tuple[int, int, int]]:
    """Table, cookie and mask of the requests that list all rules but the learned ones."""
    yield messages.ALL_TABLES, 0, _HIGH
    yield messages.ALL_TABLES, _HIGH, _HIGH | _LOW
    others: Iterable[RuleTable] = (table for table in RuleTable if table is not RuleTable.COUNT)
    for table in others:
        yield table, _HIGH | _LOW, _HIGH | _LOW

"""What records can tell, learned from the records themselves: is each connection seen whole?

Where an exporter samples packets (1 of N), most connections are seen as one packet or a few, and
that says nothing about how they went. It shows in TCP records of a single packet that carries data:
of connections seen whole, hardly one in two hundred is such, of sampled ones many are.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from detection.state.stored_values import MOST
from topology.records import FlowRecord

ENOUGH = 200  # TCP records without a state before anything is concluded
SHARE = 0.03  # of them with one packet that carries data, from which on packets are sampled
RECENT = 20_000  # records after which old ones count half
HEADERS = 66  # bytes of a packet without contents

Count = Annotated[float, Meta(ge=0.0, le=MOST)]


class RecordForm(Struct, array_like=True):
    """``looked`` counts the TCP records without a state, ``cut`` those of a single data packet."""

    looked: Count = 0.0
    cut: Count = 0.0
    sampled: bool = False

    def notice(self, record: FlowRecord) -> None:
        """Call for whole records without a state."""
        if record.proto != "tcp" or record.packets is None:
            return
        self.looked += 1.0
        if record.packets == 1 and (record.bytes or 0) > HEADERS:
            self.cut += 1.0
        if self.looked >= ENOUGH:
            self.sampled = self.cut > SHARE * self.looked
            if self.looked >= RECENT:
                self.looked, self.cut = self.looked / 2.0, self.cut / 2.0

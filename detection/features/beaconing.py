"""Visits at regular intervals, as a remote-controlled program makes them to ask for orders.

Connections within a few seconds are one visit. A visit is regular when the interval before it is
within half of the mean of those before, which forgives the jitter that such programs are
given; an irregular one takes back more than a regular one gives, so that what people do by
hand does not add up. An edge is looked at only when it leads out of our networks to a peer that
hardly any other of our hosts uses, and not on services that are regular by nature.
"""

from __future__ import annotations

from topology.records import FlowRecord

ONE_VISIT = 2.0  # seconds: connections closer together are one visit
NEAR = 0.5  # share of the mean interval by which a regular one may differ
ADAPT = 0.1
LOSS = 0.85  # of what has added up is left after an irregular visit, less one
GRAINS = 5.0  # an interval must be this many times as long as the clock of the recording is coarse
LONGEST = 4 * 3600.0  # seconds: a longer interval is a new beginning
STEP = 8  # regular visits after which the host is looked at again
LASTING = 1800.0  # seconds that it must go on: a page that reloads itself is left open for less
FADES_AFTER = 3.0  # intervals without a visit
FEW_HOSTS = 10  # of ours, below which it cannot be told what is rare
FEW_USERS = 2  # hosts of ours that may use a peer for it to be rare

# Clocks, names, and probes of whether something is there: regular everywhere.
_REGULAR_PORTS = frozenset({53, 123, 161, 853})


class BeaconTiming:
    """The visits over one edge. ``regular`` is how many regular ones have added up."""

    __slots__ = ("began", "last", "mean", "peer", "regular", "service")

    def __init__(self, peer: str, service: str, now: float) -> None:
        self.peer = peer
        self.service = service
        self.last = self.began = now
        self.mean = 0.0
        self.regular = 0.0

    def visit(self, now: float, grain: float) -> bool:
        """Count a connection; True when another :data:`STEP` regular visits have added up."""
        interval = now - self.last
        self.last = now
        if interval < ONE_VISIT or interval < GRAINS * grain:
            return False
        if interval > LONGEST or self.mean == 0.0:
            self.mean = interval if interval <= LONGEST else 0.0
            self.regular = 0.0
            self.began = now
            return False
        if abs(interval - self.mean) <= NEAR * self.mean:
            self.mean += ADAPT * (interval - self.mean)
            self.regular += 1.0
            return self.regular % STEP < 1.0
        self.regular = max(0.0, LOSS * self.regular - 1.0)
        if self.regular == 0.0:
            self.mean = interval
            self.began = now
        return False

    def now(self, now: float) -> float:
        """Regular visits that count: none before it lasted, nor when it has stopped."""
        lasted = self.last - self.began >= LASTING
        return self.regular if lasted and now <= self.until else 0.0

    @property
    def until(self) -> float:
        """Until when the next visit is still to be expected."""
        return self.last + FADES_AFTER * self.mean


def may_be_beacon(record: FlowRecord) -> bool:
    return record.proto in ("tcp", "udp") and record.dst_port not in _REGULAR_PORTS


def grain_of(ts: float, grain: float) -> float:
    """How coarse the clock of a recording is (60, 1 or 0 seconds), as far as times so far tell."""
    if grain > 1.0 and ts % 60.0 != 0.0:
        grain = 1.0
    if grain > 0.0 and ts % 1.0 != 0.0:
        grain = 0.0
    return grain

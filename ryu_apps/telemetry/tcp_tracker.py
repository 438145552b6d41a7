"""TCP connections from copies of the few packets that open, answer, refuse and close them.

What each end sent is the distance between the sequence numbers of its first
and its last packet (RFC 9293, section 3.4), so it is known modulo 4 GiB.
Copies come over the connections of several switches: an answer may arrive
before the opening that it answers.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from ryu_apps.openflow.ethernet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Frame
from topology.records import FlowRecord, State

MAX_OPEN = 100_000  # connections whose beginning is remembered until they end
MAX_CLOSED = 50_000  # connections whose stragglers are recognised
MAX_EARLY = 10_000  # answers that wait for their opening
UNANSWERED = 8.0  # seconds: the third try of a SYN has gone by
UNCERTAIN = UNANSWERED + 4.0  # seconds: an answer may be lost some seconds before that is known
LINGER = 2.0  # seconds after one end's last packet that the other's is waited for
WINDOW = 1 << 32

Tuple = tuple[str, str, str, int, int]
"""Initiator, responder, protocol and the two ports, as records name them."""


@dataclass(slots=True)
class _OpenConnection:
    """``first`` and ``answer`` are the ends' initial sequence numbers, ``out`` and ``back`` the
    bytes that each has sent when it closed; ``taken`` is what the initiator had received then."""

    record: FlowRecord
    first: int
    answer: int | None = None
    out: int | None = None
    back: int | None = None
    taken: int = 0
    closing: bool = False


def key_of(frame: Frame) -> Tuple:
    """The connection that a packet opens."""
    return (frame.src_ip or "", frame.dst_ip or "", "tcp", *frame.ports)


def _turned(key: Tuple) -> Tuple:
    return (key[1], key[0], key[2], key[4], key[3])


@dataclass(slots=True)
class TcpTracker:
    """``forgotten`` openings had to make room for others before their connections ended."""

    forgotten: int = 0
    uncertain_until: float = 0.0
    _open: OrderedDict[Tuple, _OpenConnection] = field(default_factory=OrderedDict)
    _closed: OrderedDict[Tuple, int] = field(default_factory=OrderedDict)
    _early: OrderedDict[Tuple, Frame] = field(default_factory=OrderedDict)
    _unanswered: deque[tuple[float, Tuple, _OpenConnection]] = field(default_factory=deque)
    _lingering: deque[tuple[float, Tuple, _OpenConnection]] = field(default_factory=deque)

    def answers(self, frame: Frame) -> bool:
        """Whether a packet goes back along a connection that was here not long ago."""
        key = _turned(key_of(frame))
        return key in self._open or key in self._closed

    def repeats(self, frame: Frame) -> bool:
        """Whether an opening is one that was sent again."""
        key = key_of(frame)
        known = self._open.get(key)
        if known is not None:
            return known.first == frame.seq
        return self._closed.get(key) == frame.seq

    def opened(self, record: FlowRecord, frame: Frame, now: float) -> FlowRecord | None:
        """Remember an opening; the connection's end where its answer came first."""
        key = key_of(frame)
        entry = _OpenConnection(record, frame.seq)
        if key in self._open:
            self._open.move_to_end(key)
        self._open[key] = entry
        self._unanswered.append((now + UNANSWERED, key, entry))
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
            self.forgotten += 1
        early = self._early.pop(key, None)
        return None if early is None else self._answered(key, entry, early, now)

    def progress(self, frame: Frame, now: float) -> FlowRecord | None:
        """Take in a packet that answers, refuses or closes; the record of a connection that
        ended with it."""
        key = key_of(frame)
        entry = self._open.get(key)
        if entry is not None and frame.flags & (TCP_FIN | TCP_RST):
            entry.out = (frame.seq + frame.length - entry.first - 1) % WINDOW
            if frame.flags & TCP_ACK and entry.answer is not None:
                entry.taken = (frame.ack - entry.answer - 1) % WINDOW
            return self._closes(key, entry, frame, now)
        key = _turned(key)
        entry = self._open.get(key)
        if entry is not None:
            return self._answered(key, entry, frame, now)
        if key not in self._closed and frame.flags & (TCP_SYN | TCP_RST):
            self._early[key] = frame
            if len(self._early) > MAX_EARLY:
                self._early.popitem(last=False)
        return None

    def overdue(self, now: float) -> list[FlowRecord]:
        """Connections that nobody answered, and those whose second end did not close in time."""
        ended = []
        while self._unanswered and self._unanswered[0][0] <= now:
            _, key, entry = self._unanswered.popleft()
            if self._open.get(key) is entry and entry.answer is None and not entry.closing:
                # Where copies were held back, the answer may be among them.
                state: State | None = "unanswered" if now >= self.uncertain_until else None
                ended.append(self._end(key, entry, state, now))
        while self._lingering and self._lingering[0][0] <= now:
            _, key, entry = self._lingering.popleft()
            if self._open.get(key) is entry:
                ended.append(self._end(key, entry, "established", now))
        return ended

    def copies_lost(self, now: float) -> None:
        """Copies were dropped lately: an answer may have been sent although none arrived."""
        self.uncertain_until = now + UNCERTAIN

    def _answered(
        self, key: Tuple, entry: _OpenConnection, frame: Frame, now: float
    ) -> FlowRecord | None:
        """A packet from the responder."""
        if frame.flags & TCP_RST and entry.answer is None and not entry.closing:
            entry.closing = True
            return self._end(key, entry, "rejected", now)
        if frame.flags & TCP_SYN:
            entry.answer = frame.seq
        if frame.flags & (TCP_FIN | TCP_RST):
            if entry.answer is not None:
                entry.back = (frame.seq + frame.length - entry.answer - 1) % WINDOW
            return self._closes(key, entry, frame, now)
        return None

    def _closes(
        self, key: Tuple, entry: _OpenConnection, frame: Frame, now: float
    ) -> FlowRecord | None:
        if frame.flags & TCP_RST:
            # Reset before either end sent data: a scan's half-open try, or a refusal.
            sent = entry.out or entry.back or entry.taken
            return self._end(key, entry, "established" if sent else "rejected", now)
        if entry.out is not None and entry.back is not None:
            return self._end(key, entry, "established", now)
        if not entry.closing:
            entry.closing = True
            self._lingering.append((now + LINGER, key, entry))
        return None

    def _end(
        self, key: Tuple, entry: _OpenConnection, state: State | None, now: float
    ) -> FlowRecord:
        del self._open[key]
        self._closed[key] = entry.first
        if len(self._closed) > MAX_CLOSED:
            self._closed.popitem(last=False)
        waited = 0.0 if entry.closing or entry.answer is not None else UNANSWERED
        return replace(
            entry.record,
            phase="end",
            duration=max(0.0, now - entry.record.ts - waited),
            bytes_out=entry.out or 0,
            bytes_in=entry.taken if entry.back is None else entry.back,
            state=state,
        )

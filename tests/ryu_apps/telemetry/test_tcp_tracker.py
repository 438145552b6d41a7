"""TCP connections followed by the segments that open, answer, refuse and close them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.openflow.ethernet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Frame
from ryu_apps.telemetry.tcp_tracker import LINGER, UNANSWERED, UNCERTAIN, WINDOW, TcpTracker
from topology.records import FlowRecord

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
ISN, ANSWER = WINDOW - 5, 77  # the first wraps round at once


def frame(flags: int, seq: int, ack: int = 0, length: int = 0, back: bool = False) -> Frame:
    ends, ports = ((SERVER, CLIENT), (80, 4000)) if back else ((CLIENT, SERVER), (4000, 80))
    opens = not flags & (TCP_ACK | TCP_RST)
    return Frame(0x800, "", "", *ends, "tcp", ports, None, False, opens, flags, seq, ack, length)


SYN = frame(TCP_SYN, ISN)
SYN_ACK = frame(TCP_SYN | TCP_ACK, ANSWER, ISN + 1, back=True)
REFUSAL = frame(TCP_RST | TCP_ACK, 0, ISN + 1, back=True)


def closing(sent: int, taken: int, length: int = 0, flags: int = TCP_FIN) -> Frame:
    seq, ack = (ISN + 1 + sent - length) % WINDOW, (ANSWER + 1 + taken) % WINDOW
    return frame(flags | TCP_ACK, seq, ack, length)


def closing_back(sent: int, taken: int, flags: int = TCP_FIN) -> Frame:
    seq, ack = (ANSWER + 1 + sent) % WINDOW, (ISN + 1 + taken) % WINDOW
    return frame(flags | TCP_ACK, seq, ack, back=True)


def record(ts: float = 100.0) -> FlowRecord:
    return FlowRecord(ts, CLIENT, SERVER, "tcp", 4000, 80, phase="start", verdict="allow")


def opened(now: float = 100.0) -> TcpTracker:
    tracker = TcpTracker()
    assert tracker.opened(record(now), SYN, now) is None
    return tracker


@given(st.integers(0, WINDOW - 1), st.integers(0, WINDOW - 1), st.booleans(), st.booleans())
def test_both_ends_close_and_what_they_sent_is_known(
    sent: int, answered: int, server_first: bool, with_data: bool
) -> None:
    tracker = opened()
    assert tracker.progress(SYN_ACK, 100.1) is None
    mine = closing(sent, answered, length=min(sent, 900) if with_data else 0)
    theirs = closing_back(answered, sent)
    one, other = (theirs, mine) if server_first else (mine, theirs)
    assert tracker.progress(one, 103.0) is None
    end = tracker.progress(other, 104.0)
    assert end is not None
    assert (end.phase, end.state, end.ts, end.duration) == ("end", "established", 100.0, 4.0)
    assert (end.bytes_out, end.bytes_in) == (sent, answered)
    assert tracker.overdue(1e6) == []


def test_a_refusal_is_known_at_once_and_told_once() -> None:
    tracker = opened()
    end = tracker.progress(REFUSAL, 100.2)
    assert end is not None and (end.state, end.bytes_out, end.bytes_in) == ("rejected", 0, 0)
    assert end.duration == pytest.approx(0.2)
    assert tracker.progress(REFUSAL, 100.3) is None
    assert tracker.repeats(SYN), "a try that comes again after its refusal is no new connection"
    assert tracker.overdue(1e6) == []


def test_what_nobody_answers_ends_after_the_third_try() -> None:
    tracker = opened()
    assert tracker.repeats(SYN)
    assert tracker.overdue(100.0 + UNANSWERED - 0.1) == []
    (end,) = tracker.overdue(100.0 + UNANSWERED)
    assert (end.state, end.duration) == ("unanswered", 0.0)
    assert tracker.repeats(SYN), "the fourth try is no new connection"


def test_where_copies_were_held_back_silence_says_nothing() -> None:
    tracker = opened()
    tracker.copies_lost(103.0)
    (end,) = tracker.overdue(100.0 + UNANSWERED)
    assert end.state is None
    again = opened(103.0 + UNCERTAIN)
    again.copies_lost(100.0)
    (end,) = again.overdue(103.0 + UNCERTAIN + UNANSWERED)
    assert end.state == "unanswered"


def test_the_second_end_is_not_waited_for_without_end() -> None:
    tracker = opened()
    tracker.progress(SYN_ACK, 100.1)
    assert tracker.progress(closing(500, 9_000), 101.0) is None
    assert tracker.overdue(101.0 + LINGER - 0.1) == []
    (end,) = tracker.overdue(101.0 + LINGER)
    assert (end.state, end.bytes_out, end.bytes_in) == ("established", 500, 9_000)


@pytest.mark.parametrize("sent", [0, 12])
def test_a_reset_ends_a_connection_and_one_without_a_word_never_came_about(sent: int) -> None:
    tracker = opened()
    tracker.progress(SYN_ACK, 100.1)
    end = tracker.progress(closing(sent, 0, flags=TCP_RST), 100.2)
    assert end is not None and end.state == ("established" if sent else "rejected")


def test_an_answer_may_be_heard_before_its_opening() -> None:
    tracker = TcpTracker()
    assert tracker.progress(SYN_ACK, 99.9) is None
    assert tracker.opened(record(), SYN, 100.0) is None
    tracker.progress(closing(5, 6), 101.0)
    end = tracker.progress(closing_back(6, 5), 101.1)
    assert end is not None and (end.bytes_out, end.bytes_in) == (5, 6)
    other = TcpTracker()
    assert other.progress(REFUSAL, 99.9) is None
    end = other.opened(record(), SYN, 100.0)
    assert end is not None and end.state == "rejected"


def test_a_port_used_again_is_another_connection() -> None:
    tracker = opened()
    tracker.progress(REFUSAL, 100.2)
    later = SYN._replace(seq=4711)
    assert not tracker.repeats(later)
    assert tracker.opened(record(130.0), later, 130.0) is None
    (end,) = tracker.overdue(130.0 + UNANSWERED)
    assert end.ts == 130.0


def test_any_segments_in_any_order_end_a_connection_at_most_once() -> None:
    random = Random(4)
    kinds = [SYN_ACK, REFUSAL, closing(3, 4), closing_back(4, 3), closing(3, 4, flags=TCP_RST)]
    for _ in range(500):
        tracker, ends, now = TcpTracker(), 0, 100.0
        at = random.randrange(6)
        for step in range(8):
            now += random.random() * 4
            if step == at:
                ends += tracker.opened(record(now), SYN, now) is not None
            else:
                ends += tracker.progress(random.choice(kinds), now) is not None
            ends += len(tracker.overdue(now))
        assert ends + len(tracker.overdue(now + 1e6)) <= 1

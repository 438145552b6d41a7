"""The queue to the analysis: bounded for evidence, loss counted, commands never dropped."""

import pytest

from response.ipc.framing import MAX_PART, Decoder, framed
from response.ipc.messages import HostsChanged, RecordsSeen, SpoofsSeen
from ryu_apps.ipc.outbox import MAX_EVIDENCE, Outbox
from topology.records import FlowRecord, SpoofedPacket

SPOOF = SpoofsSeen((SpoofedPacket(1.0, 1, 1, "00:00:00:00:00:01", None, "x"),))


def seen(number: int) -> RecordsSeen:
    return RecordsSeen((FlowRecord(float(number), "10.0.0.1", "10.0.0.2", "tcp"),))


def test_neighbouring_records_go_together_and_order_is_kept() -> None:
    box = Outbox()
    for message in (seen(1), seen(2), SPOOF, SPOOF, HostsChanged(()), seen(3)):
        box.put(message)
    records, spoofs, hosts, last = box.take()
    assert isinstance(records, RecordsSeen) and [each.ts for each in records.records] == [1, 2]
    assert isinstance(spoofs, SpoofsSeen) and len(spoofs.spoofs) == 2
    assert hosts == HostsChanged(())
    assert isinstance(last, RecordsSeen) and last.records[0].ts == 3
    assert box.take() == []


def test_a_full_queue_drops_the_oldest_evidence_counts_it_and_keeps_the_rest() -> None:
    box = Outbox()
    box.put(HostsChanged(()))
    box.put(SPOOF)
    for number in range(MAX_EVIDENCE + 9):
        box.put(seen(number))
    assert box.lost_in_all == 9
    taken = box.take()
    assert HostsChanged(()) in taken
    records = [message for message in taken if isinstance(message, RecordsSeen)]
    assert SPOOF in taken
    assert records[0].lost == 9 and sum(len(each.records) for each in records) == MAX_EVIDENCE
    assert records[0].records[0].ts == 9
    assert sum(each.lost for each in records) == 9


@pytest.mark.threat("message-size")
def test_twenty_thousand_records_with_long_names_go_in_frames_that_fit() -> None:
    box = Outbox()
    for batch in range(500):
        record = FlowRecord(float(batch), "10.0.0.1", "10.0.0.2", "tcp", intent="n" * 400)
        box.put(RecordsSeen((record,) * 40))
    sent = [framed(message) for message in box.take()]
    stream = b"".join(each.data for each in sent)
    assert len(stream) > 8_000_000
    got = Decoder(MAX_PART).feed(stream)
    records = [record for each in got if isinstance(each, RecordsSeen) for record in each.records]
    assert [record.ts for record in records] == [i / 40 // 1 for i in range(20_000)]
    assert box.lost_in_all == 0 and not any(each.left_out for each in sent)


def test_a_gap_stays_due_when_what_reports_it_is_left_out() -> None:
    box = Outbox()
    box.leave_out(RecordsSeen((), 3))
    box.leave_out(RecordsSeen(seen(1).records * 2, 4))
    box.leave_out(HostsChanged(()))
    assert (box.lost, box.lost_in_all, box.too_large) == (9, 2, 2)
    box.put(seen(1))
    (told,) = box.take()
    assert isinstance(told, RecordsSeen) and told.lost == 9

"""The queue to the analysis: bounded for evidence, loss counted, commands never dropped."""

import pytest

from response.ipc.framing import encode
from response.ipc.messages import HostsChanged, RecordsSeen, SpoofsSeen
from ryu_apps.ipc.analysis_link import MAX_EVIDENCE, Outbox
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
    assert box.lost_in_all == 10
    taken = box.take()
    assert HostsChanged(()) in taken
    records = [message for message in taken if isinstance(message, RecordsSeen)]
    assert records[0].lost == 10 and sum(len(each.records) for each in records) == MAX_EVIDENCE
    assert records[0].records[0].ts == 9
    assert sum(each.lost for each in records) == 10


@pytest.mark.xfail(strict=True, reason="messages are cut by count alone")
@pytest.mark.threat("message-size")
def test_twenty_thousand_records_with_long_names_go_in_frames_that_fit() -> None:
    box = Outbox()
    for batch in range(500):
        record = FlowRecord(float(batch), "10.0.0.1", "10.0.0.2", "tcp", intent="n" * 400)
        box.put(RecordsSeen((record,) * 40))
    taken = box.take()
    assert sum(len(encode(message)) for message in taken) > 8_000_000
    assert sum(len(each.records) for each in taken if isinstance(each, RecordsSeen)) == 20_000
    assert box.lost_in_all == 0

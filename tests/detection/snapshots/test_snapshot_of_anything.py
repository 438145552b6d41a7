"""Whatever a detector was shown, its snapshot is read back and goes on with the same scores."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from detection.detector import Detector
from topology.records import FlowRecord

ADDRESSES = st.one_of(
    st.sampled_from(
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8", "2a02::1", "02:00:00:00:00:01"]
    ),
    st.text(max_size=5),
)
SIZES = st.one_of(st.none(), st.integers(0, 2**64 - 1))
RECORDS = st.lists(
    st.builds(
        FlowRecord,
        ts=st.one_of(st.floats(-1e12, 1e12), st.floats(0.0, 10_000.0)),
        src_ip=ADDRESSES,
        dst_ip=ADDRESSES,
        proto=st.sampled_from(["tcp", "udp", "icmp", "arp", "ip", "", "odd/²", "tcp"]),
        src_port=st.integers(0, 65_535),
        dst_port=st.sampled_from([22, 443, 445, 50_000]),
        state=st.sampled_from([None, "established", "rejected", "unanswered", "denied"]),
        phase=st.sampled_from(["whole", "start", "end"]),
        verdict=st.sampled_from([None, "allow", "would-deny", "deny"]),
        bytes=SIZES,
        bytes_out=SIZES,
        bytes_in=SIZES,
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(RECORDS, RECORDS)
def test_whatever_was_seen_is_read_back_and_goes_on_alike(
    before: list[FlowRecord], after: list[FlowRecord]
) -> None:
    one = Detector(seed=5)
    for record in before:
        one.step(record)
    other = Detector.restore(one.snapshot())
    assert other.health() == one.health()
    assert [one.step(record) for record in after] == [other.step(record) for record in after]
    assert other.snapshot() == Detector.restore(one.snapshot()).snapshot()

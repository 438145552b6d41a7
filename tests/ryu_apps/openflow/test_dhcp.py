"""Assignments read from servers' answers, whole or damaged."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.openflow.dhcp import Assigned, read_assignment
from tests.support.dhcp_frames import acknowledgement, reply


def test_what_a_server_gives_is_read() -> None:
    assert read_assignment(acknowledgement()) == Assigned("02:00:00:00:00:03", "10.0.1.100")
    padded = acknowledgement(ahead=b"\0\0\x01\x04\xff\xff\0\0")
    assert read_assignment(padded) == Assigned("02:00:00:00:00:03", "10.0.1.100")
    assert read_assignment(reply()) == Assigned("02:00:00:00:00:03", "fd00::64")
    for other in (acknowledgement(2), acknowledgement(6), acknowledgement(address=bytes(4)),
                  reply(2), reply(valid=0)):  # fmt: skip
        assert read_assignment(other) is None


@pytest.mark.parametrize("frame", [acknowledgement(), reply()])
def test_a_frame_cut_short_is_no_assignment_or_the_whole_one(frame: bytes) -> None:
    whole = read_assignment(frame)
    assert whole is not None
    read = [read_assignment(frame[:length]) for length in range(len(frame))]
    assert set(read) <= {None, whole}, "options after the message type may be missing"
    assert read[: len(frame) // 2] == [None] * (len(frame) // 2)


@given(
    st.sampled_from([acknowledgement(), reply()]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damage_leaves_no_assignment_or_one_with_a_mac_and_an_address(
    frame: bytes, damage: list[tuple[int, int]]
) -> None:
    broken = bytearray(frame)
    for at, value in damage:
        broken[at % len(broken)] = value
    assigned = read_assignment(bytes(broken))
    if assigned is not None:
        assert len(bytes.fromhex(assigned.mac.replace(":", ""))) == 6
        address = ip_address(assigned.ip)
        assert address.packed in bytes(broken), "an address that the frame does not carry"

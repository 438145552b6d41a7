"""Ports as a switch reports them: which are taken, which are left out, and what is said of it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules import layout
from ryu_apps.openflow.reported_ports import LOCAL_PORT, MAX_PORTS, PortProblem, ReportedPorts
from topology.ports import LAST_PORT, is_port

pytestmark = pytest.mark.threat("reported-ports")
MAC = bytes.fromhex("0200000000aa")


def description(*ports: tuple[int, bytes, bytes]) -> bytes:
    """A multipart answer; each port with its number, MAC and name."""
    body = b"".join(
        struct.pack("!I4x6s2x16sIIIIIIII", number, mac, name, *[0] * 8)
        for number, mac, name in ports
    )
    return struct.pack("!BBHIHH4x", 4, 19, 16 + len(body), 1, 13, 0) + body


@pytest.mark.parametrize("number", [0, LAST_PORT + 1, 0xFFF8, 0x1_0001, 1 << 28, 0xFFFF_FFFB])
def test_a_number_that_rules_cannot_name_is_left_out(number: int) -> None:
    reported = ReportedPorts()
    reported.describe(description((number, MAC, b"p"), (7, MAC, b"q")))
    assert reported.macs == {7: MAC}
    assert reported.problems == {PortProblem.NUMBER: (1, number)}


def test_every_port_that_is_taken_fits_the_register_that_names_it() -> None:
    assert is_port(LAST_PORT) and LAST_PORT >> layout.OWNER_PORT.width == 0


def test_the_switch_s_own_port_is_nothing_odd() -> None:
    assert ReportedPorts.of({LOCAL_PORT: MAC}) == ReportedPorts()


@pytest.mark.parametrize("mac", [bytes(6), b"\xff" * 6, bytes.fromhex("0180c2000000")])
def test_an_address_that_no_port_has_is_replaced(mac: bytes) -> None:
    reported = ReportedPorts.of({3: mac})
    assert reported.macs[3] not in (mac, bytes(6)) and not reported.macs[3][0] & 1
    assert PortProblem.ADDRESS in reported.problems


def test_of_two_ports_with_one_number_the_first_counts() -> None:
    reported = ReportedPorts()
    reported.describe(description((3, MAC, b"a"), (3, bytes.fromhex("020000000001"), b"b")))
    assert reported.macs == {3: MAC}
    assert reported.texts() == (
        "reported 1 port (such as 3) with the number of another port: only the first counts",
    )


def test_thousands_of_ports_are_bounded_and_counted() -> None:
    reported = ReportedPorts.of(dict.fromkeys(range(1, MAX_PORTS + 501), MAC))
    assert len(reported.macs) == MAX_PORTS
    assert reported.problems == {PortProblem.MANY: (500, MAX_PORTS + 1)}
    reported.remove(1)
    assert reported.change(MAX_PORTS + 1, MAC) is None, "there is room again"


def test_names_reach_no_log() -> None:
    reported = ReportedPorts()
    reported.describe(description((0, MAC, b"\x1b[2Jroot\n"), (9, MAC, b"\x00\xff")))
    assert all(text.isprintable() for text in reported.texts())


@given(st.binary(max_size=300))
def test_any_bytes_are_read(body: bytes) -> None:
    reported = ReportedPorts()
    reported.describe(body)
    assert all(is_port(number) for number in reported.macs)


def test_a_port_without_a_link_is_known_as_that() -> None:
    message = bytearray(description((1, MAC, b"a"), (2, MAC, b"b"), (3, MAC, b"c")))
    message[16 + 64 + 32 + 3] = 1  # the second one's configuration: shut down
    message[16 + 128 + 36 + 3] = 1  # the third one's state: no link
    reported = ReportedPorts()
    reported.describe(bytes(message))
    assert reported.down == {2, 3}

"""What DHCP clients say is checked before a server hears it.

The attacks are those of SecureBinder (Jero et al., USENIX Security 2017): a host releases another's
lease, asks for its address, or borrows its identity.
"""

from __future__ import annotations

import pytest

from policies.rules.layout import Reason
from response.ipc.messages import SpoofsSeen
from tests.support.controller_rig import NOW, Rig, arp
from tests.support.dhcp_frames import asking, releasing_six, wants

VICTIM, BAD = "00:00:00:00:00:77", "00:00:00:00:00:66"
pytestmark = pytest.mark.threat("dhcp-clients")


def two_hosts() -> Rig:
    """The victim on port 2, the attacker on port 3 of switch 2."""
    rig = Rig()
    rig.connect(1)
    rig.connect(2)
    rig.packet(2, Reason.GUARD, arp(VICTIM, "10.0.0.77", "10.0.0.1"), 2)
    rig.packet(2, Reason.GUARD, arp(BAD, "10.0.0.66", "10.0.0.1"), 3)
    rig.advance(1)
    return rig


def says(rig: Rig, frame: bytes, port: int = 3) -> tuple[bool, str]:
    """Whether a message is passed on, and what is reported of it."""
    switch, before = rig.switches[2], len(rig.messages(SpoofsSeen))
    switch.packet_outs.clear()
    rig.packet(2, Reason.CLIENT, frame, port)
    spoofs = [each for seen in rig.messages(SpoofsSeen)[before:] for each in seen.spoofs]
    assert all((each.switch, each.port) == (2, port) for each in spoofs)
    passed = any(message.endswith(frame) for message in switch.packet_outs)
    return passed, "; ".join(each.reason for each in spoofs)


def test_what_a_host_says_of_itself_is_passed_on() -> None:
    rig = two_hosts()
    assert rig.now > NOW
    for frame in (
        asking(1, BAD),
        asking(3, BAD, options=wants("10.0.0.80")),
        asking(3, BAD, options=wants("10.0.0.66")),
        asking(7, BAD, source="10.0.0.66", ciaddr="10.0.0.66"),
        releasing_six(BAD, "fd00::66", kind=3),
    ):
        assert says(rig, frame) == (True, "")


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (asking(7, BAD, chaddr=VICTIM, ciaddr="10.0.0.77"), "in the name of"),
        (asking(7, BAD, source="10.0.0.66", ciaddr="10.0.0.77"), "10.0.0.77"),
        (asking(7, BAD, source="10.0.0.66", ciaddr="10.0.0.77", port=1068), "10.0.0.77"),
        (asking(4, BAD, options=wants("10.0.0.77")), "10.0.0.77"),
        (asking(3, BAD, options=wants("10.0.0.1")), "10.0.0.1"),
        (asking(1, BAD, chaddr=VICTIM), "in the name of"),
        (asking(1, BAD, options=b"\x3d\x07\x01\0\0\0\0\0\x77"), "in the name of"),
        (asking(3, BAD, giaddr="10.0.0.66"), "relay"),
        (asking(1, BAD)[:200], "no DHCP"),
        (asking(3, BAD, options=wants("10.0.0.66") + wants("10.0.0.77")), "no DHCP"),
        (releasing_six(BAD, "fd00::77"), "fd00::77"),
    ],
)
def test_what_it_says_of_others_is_dropped_and_reported(frame: bytes, why: str) -> None:
    rig = two_hosts()
    if b"\xfd" in frame:
        rig.packet(2, Reason.GUARD, arp(VICTIM, "10.0.0.77", "10.0.0.1"), 2)
    passed, reason = says(rig, frame)
    assert not passed and why in reason


def test_an_address_is_asked_for_again_only_when_its_holder_is_gone() -> None:
    rig = two_hosts()
    wanted = asking(3, BAD, options=wants("10.0.0.77"))
    assert says(rig, wanted) == (False, "")
    rig.packet(2, Reason.PROBE, arp(VICTIM, "10.0.0.77", "10.0.0.1", op=2), 2)
    assert "still answers" in rig.messages(SpoofsSeen)[-1].spoofs[-1].reason
    assert not says(rig, wanted)[0]
    rig.advance(6)
    assert says(rig, wanted) == (False, "")
    for _ in range(4):
        rig.advance(0.4)
    assert says(rig, wanted) == (True, "")

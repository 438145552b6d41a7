"""Whatever a switch sends once it is known: counted or ignored, never an exception."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from ryu_apps.core import ERROR, FLOW_REMOVED, MULTIPART, PACKET_IN
from ryu_apps.openflow import messages
from ryu_apps.switch.roles import ROLE_REPLY
from tests.ryu_apps.test_core import PORTS, Rig
from tests.support.fake_switch import FakeSwitch

KINDS = (ERROR, 4, PACKET_IN, FLOW_REMOVED, MULTIPART, 21, ROLE_REPLY, 12, 255)
RIGS = {"ready": Rig(), "fresh": Rig()}
RIGS["ready"].connect(1, FakeSwitch(1))
ASKED = (0x5300_0000, 0x5400_0000, 0x5500_0000, 0x5600_0000, 0x5700_0000)


def xids(number: int) -> int:
    """One that something was asked with, as often as not."""
    return ASKED[number % len(ASKED)] + number // len(ASKED) % 64


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(RIGS)),
    st.sampled_from(KINDS),
    st.integers(0, 5 * 64).map(xids),
    st.integers(0, 20),
    st.binary(max_size=300),
)
def test_any_bytes_are_survived(state: str, kind: int, xid: int, what: int, body: bytes) -> None:
    rig = RIGS[state]
    if state == "fresh":
        rig.core.switch_up(1, PORTS, rig.now)
    else:
        rig.core.check(rig.now)
    if kind == MULTIPART:
        body = struct.pack("!HH4x", what, 0) + body
    rig.core.message(1, kind, xid, messages.message(kind, xid, body), rig.now)
    rig.core.tick(rig.now)


@given(st.data())
def test_a_good_message_with_bad_bytes_is_survived(data: st.DataObject) -> None:
    """Answers of the right shape, damaged in one place or cut short."""
    rig = RIGS["ready"]
    answers = rig.switches[1].take(rig.core.check(rig.now))
    answers += rig.switches[1].take(rig.core.sessions[1].ask(rig.now))
    for kind, xid, buf in data.draw(st.lists(st.sampled_from(answers), max_size=4)):
        damaged = bytearray(buf)
        at = data.draw(st.integers(8, len(buf) - 1)) if len(buf) > 8 else 0
        damaged[at] = data.draw(st.integers(0, 255))
        cut = data.draw(st.one_of(st.none(), st.integers(0, len(buf))))
        rig.core.message(1, kind, xid, bytes(damaged[:cut]), rig.now)

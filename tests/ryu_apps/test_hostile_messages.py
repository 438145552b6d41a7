"""Whatever a switch sends once it is connected: counted or ignored, never an exception."""

from __future__ import annotations

import logging
import struct

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ryu_apps.core import BARRIER, ERROR, FLOW_REMOVED, MULTIPART, PACKET_IN
from ryu_apps.effects import Effect, Log
from ryu_apps.openflow import decode, messages
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.roles import ROLE_REPLY
from ryu_apps.switch.session import SETTLE, Phase, Session
from ryu_apps.switch.transactions import FIRST, LAST
from tests.support.controller_rig import PORTS, Rig
from tests.support.fake_switch import Answer, FakeSwitch

REPLIES = (ERROR, MULTIPART, BARRIER, ROLE_REPLY)
TYPES = (*REPLIES, messages.EXPERIMENTER, PACKET_IN, FLOW_REMOVED, 12, 255)


def malformed(kind: int, buf: bytes) -> bool:
    """Whether a message that is no reply cannot be read."""
    try:
        if kind == PACKET_IN:
            decode.packet_in(buf)
        elif kind == FLOW_REMOVED:
            decode.flow_removed(buf)
    except decode.Malformed:
        return True
    return False


class HostileSwitch(RuleBasedStateMachine):
    """One switch that sends anything at any time, and may withhold every answer."""

    @initialize(ready=st.booleans())
    def connect(self, ready: bool) -> None:
        self.rig = Rig()
        self.answers: list[Answer] = []
        if ready:
            self.rig.connect()
        else:
            self.rig.switches[1] = FakeSwitch(1)
            self.withhold(self.rig.core.switch_up(1, ReportedPorts.of(PORTS), self.rig.now))

    @property
    def session(self) -> Session:
        return self.rig.core.sessions[1]

    def withhold(self, effects: list[Effect]) -> None:
        """Let the switch work out its answers, and keep them."""
        self.answers += self.rig.switches[1].take(effects)

    def deliver(self, kind: int, xid: int, buf: bytes) -> None:
        """Hand one message to the core, and check what it counts."""
        core, transactions = self.rig.core, self.session.transactions
        before = core.malformed, core.packet_in.unreadable_frames, transactions.late
        unawaited = xid not in transactions._open
        effects = core.message(1, kind, xid, buf, self.rig.now)
        more = core.malformed - before[0]
        if kind in REPLIES:
            assert more in ((0,) if unawaited or kind != MULTIPART else (0, 1))
            late = unawaited and FIRST <= xid <= LAST
            assert transactions.late - before[2] == late
        else:
            assert more == malformed(kind, buf)
            assert transactions.late == before[2]
        if kind == PACKET_IN and not more:
            foreign = decode.packet_in(buf).fields.get("in_port") not in self.session.ports
            assert core.packet_in.unreadable_frames - before[1] >= foreign
        warned = [e for e in effects if isinstance(e, Log) and "malformed messages" in e.text]
        doubled = more == 1 and core.malformed & core.malformed - 1 == 0
        assert [each.level for each in warned] == [logging.WARNING] * doubled
        self.withhold(effects)

    @rule(
        kind=st.sampled_from(TYPES),
        xid=st.integers(0, 60),
        part=st.integers(0, 20),
        body=st.binary(max_size=300),
    )
    def send_anything(self, kind: int, xid: int, part: int, body: bytes) -> None:
        """As often as not with the id of a request that waits."""
        waiting = sorted(self.session.transactions._open)
        xid = waiting[xid] if xid < len(waiting) else FIRST + xid
        if kind == MULTIPART:
            body = struct.pack("!HH4x", part, 0) + body
        self.deliver(kind, xid, messages.message(kind, xid, body))

    @precondition(lambda self: self.answers)
    @rule(
        which=st.integers(0, 60),
        damage=st.one_of(st.none(), st.tuples(st.integers(8, 60_000), st.integers(0, 255))),
        cut=st.one_of(st.none(), st.integers(8, 60_000)),
    )
    def send_an_answer(self, which: int, damage: tuple[int, int] | None, cut: int | None) -> None:
        """An answer that was worked out: whole, damaged in one place, or cut short."""
        kind, xid, buf = self.answers.pop(which % len(self.answers))
        changed = bytearray(buf)
        if damage is not None and len(buf) > 8:
            changed[8 + damage[0] % (len(buf) - 8)] = damage[1]
        end = len(buf) if cut is None else 8 + cut % (len(buf) - 7)
        self.deliver(kind, xid, bytes(changed[:end]))

    @rule()
    def ask(self) -> None:
        core, now = self.rig.core, self.rig.now
        self.withhold([*core.check(now), *core.read_counters(), *core.look_around(now)])

    @rule(seconds=st.sampled_from([0.1, SETTLE, 5.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.rig.now += seconds
        self.withhold(self.rig.core.tick(self.rig.now))

    def teardown(self) -> None:
        """Whatever came before, the switch can connect again and gets its rules."""
        if hasattr(self, "rig"):
            self.rig.carry_out(self.rig.core.switch_down(1, self.rig.now))
            switch = self.rig.connect(1, FakeSwitch(1))
            assert self.session.phase is Phase.READY and self.session.idle
            assert len(switch.rules) == len(self.session.installed) > 100


TestHostileSwitch = HostileSwitch.TestCase
TestHostileSwitch.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

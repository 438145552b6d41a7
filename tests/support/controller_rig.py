"""A controller's core with switches in software: every effect carried out, the rest collected."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from policies.model import (
    TCP,
    Defaults,
    Host,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
)
from policies.rules import layout
from policies.rules.layout import (
    Reason,
)
from policies.rules.rule import Field, match
from response.decision import Decision
from ryu_apps.core import PACKET_IN, Core
from ryu_apps.effects import Effect, Report, Save
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import field_bytes, match_bytes
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.admission import Admission
from ryu_apps.switch.session import SETTLE
from tests.support.fake_switch import FakeSwitch

NOW = 1_000.0
PORTS = {number: bytes((2, 0, 0, 0, 1, number)) for number in (1, 2, 3)}
WEB = Host("web", "00:00:00:00:00:01", (ip_address("10.0.0.1"),), 1, 1, labels=(("r", "w"),))
DB = Host("db", "00:00:00:00:00:02", (ip_address("10.0.0.2"),), 1, 2, labels=(("r", "d"),))
READ = Intent("read", ("web",), ("db",), (Service(TCP, 22, 22),))
POLICY = Policy(
    "p",
    (WEB, DB),
    (
        Segment("web", (Selector(labels=(("r", "w"),)),), Mode.ENFORCE),
        Segment("db", (Selector(labels=(("r", "d"),)),), Mode.ENFORCE),
    ),
    (),
    (READ,),
    Defaults(mode=Mode.ENFORCE),
)
HOLD = Decision(
    "d-1", 5, NOW, "quarantine", "web", ("10.0.0.1",), "web", "active", 60, "a-1", "", "", "septum"
)


class Rig:
    """A core and its fake switches, with everything else it said."""

    def __init__(self, policy: Policy = POLICY, admission: Admission | None = None) -> None:
        self.core = Core(policy, b"secret", admission=admission)
        self.core.start((), (), ())
        self.switches: dict[int, FakeSwitch] = {}
        self.effects: list[Effect] = []
        self.now = NOW

    def carry_out(self, effects: list[Effect]) -> None:
        self.effects += [each for each in effects if isinstance(each, Report | Save)]
        for switch in list(self.switches.values()):
            for kind, xid, buf in switch.take(effects):
                self.carry_out(self.core.message(switch.number, kind, xid, buf, self.now))
        if gathered := self.core.collected():
            self.carry_out(gathered)

    def connect(self, number: int = 1, switch: FakeSwitch | None = None) -> FakeSwitch:
        self.switches[number] = switch or FakeSwitch(number)
        tables = self.switches[number].tables
        self.carry_out(self.core.switch_up(number, ReportedPorts.of(PORTS), self.now, tables))
        self.advance(SETTLE)
        return self.switches[number]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.core.tick(self.now))

    def messages(self, kind: type[Any]) -> list[Any]:
        return [
            e.message for e in self.effects if isinstance(e, Report) and isinstance(e.message, kind)
        ]

    def packet(
        self,
        switch: int,
        reason: Reason,
        frame: bytes,
        port: int,
        *,
        intent: int = 0,
        outcome: int = 0,
        marks: int = 0,
        decision: int = 0,
        feed: int = 0,
    ) -> None:
        """``marks`` are further bits of the first register."""
        flags = reason << layout.REASON.low | outcome << layout.OUTCOME.low | marks
        fields = match(
            Field("in_port", port),
            Field("reg0", flags),
            Field("reg1", intent),
            Field(layout.DECISION.field, decision),
            Field(layout.FEED.field, feed),
        )
        body = struct.pack("!IHBBQ", 0xFFFFFFFF, len(frame), 0, 0, 0)
        body += match_bytes(tuple(field_bytes(field) for field in fields)) + b"\0\0" + frame
        buf = messages.message(PACKET_IN, 0, body)
        self.carry_out(self.core.message(switch, PACKET_IN, 0, buf, self.now))


def arp(mac: str, ip: str, target: str, *, op: int = 1) -> bytes:
    hardware = bytes.fromhex(mac.replace(":", ""))
    return (
        b"\xff" * 6
        + hardware
        + b"\x08\x06"
        + struct.pack("!HHBBH", 1, 0x800, 6, 4, op)
        + hardware
        + ip_address(ip).packed
        + bytes(6)
        + ip_address(target).packed
    )


def tcp(src: str, dst: str, port: int, *, sport: int = 40000, flags: int = 2) -> bytes:
    return (
        bytes(6)
        + bytes.fromhex("000000000001")
        + b"\x08\x00"
        + struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0)
        + ip_address(src).packed
        + ip_address(dst).packed
        + struct.pack("!HHIIBBH", sport, port, 0, 0, 0x50, flags, 0)
        + bytes(4)
    )


def udp(src: str, dst: str, port: int) -> bytes:
    frame = tcp(src, dst, port)
    return frame[:23] + b"\x11" + frame[24:]

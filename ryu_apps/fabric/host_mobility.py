"""Did a host move, or does somebody pretend to be it? Its old port is asked.

A discovered host that shows up elsewhere is believed when its old port has no
link, or when nobody answers there any more. An answer from the old port makes
the newcomer a spoof. Declared hosts do not move, so nobody asks for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from policies.rules.layout import PROBE_MAC
from ryu_apps.effects import Send
from ryu_apps.openflow import messages
from ryu_apps.openflow.ethernet import ETH_ARP, ETH_IPV6
from topology.hosts import HostTable, link_local
from topology.records import Binding

ASK_EVERY = 0.3  # seconds
PATIENCE = 1.0  # seconds that the old port has to answer
QUIET = 5.0  # seconds after an answer in which newcomers are spoofs without asking again
MOST = 1_000  # questions at a time

_MAC = PROBE_MAC.to_bytes(6, "big")
_OWN_SIX = IPv6Address(link_local(_MAC.hex(":")))


@dataclass(slots=True)
class Question:
    """Whether ``known`` is still where it was; ``newcomer`` is who claims to be it elsewhere."""

    known: Binding
    newcomer: Binding
    addresses: tuple[str, ...]
    asked: float
    until: float
    answered: float | None = None


@dataclass(slots=True)
class Moves:
    """The questions that are open, by the port and MAC that they ask."""

    open: dict[tuple[int, int, str], Question] = field(default_factory=dict)

    def doubt(
        self,
        hosts: HostTable,
        known: Binding,
        newcomer: Binding,
        now: float,
        xids: Iterator[int],
    ) -> list[Send] | None:
        """Ask the old port; None when it answered a moment ago, or when there is no room to ask."""
        key = (known.switch, known.port, known.mac)
        question = self.open.get(key)
        if question is not None:
            return None if question.answered is not None else []
        if len(self.open) >= MOST:
            return None
        there = hosts.addresses_of(known.mac, (known.switch, known.port))
        self.open[key] = Question(known, newcomer, there, now, now + PATIENCE)
        return [_ask(self.open[key], xids)]

    def answered(self, switch: int, port: int, mac: str, now: float) -> Question | None:
        """Somebody answered; the question, the first time."""
        question = self.open.get((switch, port, mac))
        if question is None or question.answered is not None:
            return None
        question.answered = now
        return question

    def due(self, now: float, xids: Iterator[int]) -> tuple[list[Send], list[Question]]:
        """What to ask again, and the questions that nobody answered."""
        asks, unanswered = [], []
        for key, question in list(self.open.items()):
            if question.answered is not None:
                if now - question.answered > QUIET:
                    del self.open[key]
            elif now >= question.until:
                del self.open[key]
                unanswered.append(question)
            elif now - question.asked >= ASK_EVERY:
                question.asked = now
                asks.append(_ask(question, xids))
        return asks, unanswered


def _ask(question: Question, xids: Iterator[int]) -> Send:
    known = question.known
    frames = (probe(known.mac, address) for address in question.addresses)
    data = b"".join(messages.packet_out(next(xids), frame, (known.port,)) for frame in frames)
    return Send(known.switch, data)


def probe(mac: str, ip: str) -> bytes:
    """A question for one host alone whose answer comes to the controller: ARP from nobody
    (RFC 5227), or a neighbour solicitation."""
    target, address = bytes.fromhex(mac.replace(":", "")), ip_address(ip)
    if isinstance(address, IPv4Address):
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + _MAC + bytes(4) + bytes(6)
        frame = target + _MAC + struct.pack("!H", ETH_ARP) + body + address.packed
        return frame.ljust(60, b"\0")
    icmp = struct.pack("!BBHI", 135, 0, 0, 0) + address.packed + b"\1\1" + _MAC
    ends = _OWN_SIX.packed + address.packed
    checksum = _checksum(ends + struct.pack("!II", len(icmp), 58) + icmp)
    icmp = icmp[:2] + struct.pack("!H", checksum) + icmp[4:]
    head = struct.pack("!IHBB", 6 << 28, len(icmp), 58, 255)
    return target + _MAC + struct.pack("!H", ETH_IPV6) + head + ends + icmp


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

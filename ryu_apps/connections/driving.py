"""The one connection that drives each datapath id, and what becomes of a second one.

A second connection with a known id waits while the first is asked for an echo. If the first
answers, the second is refused; if it does not in `ANSWER_WITHIN`, or ends, the second drives the
switch: a switch that restarted is taken up again that soon.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from response.ipc.messages import SwitchChanged
from ryu_apps.connections.identity import DatapathIdentity
from ryu_apps.effects import Effect, Log, Report, Send
from ryu_apps.openflow import messages

ANSWER_WITHIN = 2.0  # seconds: behind all that a busy switch sent before
ECHO_REQUEST, ECHO_REPLY = 2, 3
MOST_TOLD = 1_000  # ids whose refusals are counted one by one
_TOKEN = b"septum: still there? "


class SwitchPeer(Protocol):
    """One connection that has finished its handshake. ``names`` are those of its certificate,
    None without TLS."""

    id: int
    address: tuple[str, int]
    names: frozenset[str] | None

    def close(self) -> None: ...


class Driver(Protocol):
    """What drives switches: it takes them up, lets them go, and carries effects out."""

    def drive(self, peer: SwitchPeer) -> None: ...
    def stop_driving(self, switch: int) -> None: ...
    def carry_out(self, effects: Iterable[Effect]) -> None: ...


@dataclass(slots=True)
class WaitingPeer:
    """A second connection that waits for the first one's answer, until a monotonic time."""

    peer: SwitchPeer
    token: bytes
    until: float


@dataclass(slots=True)
class SwitchConnections:
    """``refused`` counts connections that were not allowed to drive their switch. Times are
    monotonic, but for ``clock`` (seconds since the epoch), which goes into the audit."""

    driver: Driver
    rules: DatapathIdentity = field(default_factory=DatapathIdentity)
    refused: int = 0
    _driving: dict[int, SwitchPeer] = field(default_factory=dict)
    _waiting: dict[int, WaitingPeer] = field(default_factory=dict)
    _told: dict[int, int] = field(default_factory=dict)
    _asked: int = 0

    def drives(self, peer: SwitchPeer) -> bool:
        """Whether what comes over this connection counts."""
        return self._driving.get(peer.id) is peer

    def arrived(self, peer: SwitchPeer, now: float, clock: float) -> None:
        """A connection has finished its handshake."""
        problem = self.rules.problem(peer.id, peer.names, self._driving)
        if problem is not None:
            return self._refuse(peer, problem, clock)
        first = self._driving.get(peer.id)
        if first is None:
            return self._drive(peer)
        if peer.id in self._waiting:
            return self._refuse(peer, "two connections with this datapath id are there", clock)
        self._asked += 1
        token = _TOKEN + str(self._asked).encode()
        self._waiting[peer.id] = WaitingPeer(peer, token, now + ANSWER_WITHIN)
        request = messages.message(ECHO_REQUEST, messages.NO_REPLY, token)
        text = f"switch {peer.id}: a second connection, from {_place(peer)}: asking {_place(first)}"
        self.driver.carry_out([Log(logging.WARNING, text), Send(peer.id, request)])

    def echoed(self, peer: SwitchPeer, data: bytes, clock: float) -> bool:
        """An echo reply; True for one to us."""
        if not data.startswith(_TOKEN):
            return False
        newcomer = self._waiting.get(peer.id)
        if newcomer is not None and self.drives(peer) and data == newcomer.token:
            del self._waiting[peer.id]
            problem = f"the connection from {_place(peer)} with this datapath id still answers"
            self._refuse(newcomer.peer, problem, clock)
        return True

    def left(self, peer: SwitchPeer) -> None:
        """A connection has ended."""
        newcomer = self._waiting.get(peer.id)
        if newcomer is not None and newcomer.peer is peer:
            del self._waiting[peer.id]
        elif self.drives(peer):
            self._replace(peer.id)

    def tick(self, now: float) -> None:
        """Take up switches whose first connection did not answer; call a few times a second."""
        for switch, newcomer in list(self._waiting.items()):
            if now >= newcomer.until:
                silent = self._driving[switch]
                text = f"switch {switch}: {_place(silent)} does not answer: its connection ends"
                self.driver.carry_out([Log(logging.WARNING, text)])
                self._replace(switch)
                silent.close()

    def _drive(self, peer: SwitchPeer) -> None:
        self._driving[peer.id] = peer
        self.driver.drive(peer)

    def _replace(self, switch: int) -> None:
        """Let a switch go, and take it up over the connection that waits, if there is one."""
        del self._driving[switch]
        self.driver.stop_driving(switch)
        newcomer = self._waiting.pop(switch, None)
        if newcomer is not None:
            self._drive(newcomer.peer)

    def _refuse(self, peer: SwitchPeer, why: str, clock: float) -> None:
        """End a connection. A switch tries again and again, so only the first, second, fourth, …
        refusal of an id is reported."""
        self.refused += 1
        count = self._told.pop(peer.id, 0) + 1
        self._told[peer.id] = count
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        if not count & count - 1:
            often = f" ({count} times by now)" if count > 1 else ""
            text = f"a connection from {_place(peer)} is refused{often}: {why}"
            self.driver.carry_out(
                [
                    Log(logging.ERROR, f"switch {peer.id}: {text}"),
                    Report(SwitchChanged(clock, peer.id, "refused-connection", text)),
                ]
            )
        peer.close()


def _place(peer: SwitchPeer) -> str:
    return f"{peer.address[0]} port {peer.address[1]}"

"""Connections from switches: plain TCP or TLS, limited in number, and read defensively.

Received bytes may be anything. A message that cannot be parsed is counted
and dropped; a stream whose lengths cannot be right, or that is not OpenFlow
1.3, ends. A connection that does not finish the handshake in time is closed, and only so
many may be in it at once.
"""

from __future__ import annotations

import logging
import resource
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ryu_apps.connections.identity import certificate_names
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.runtime import DEAD_DISPATCHER, controller, hub, ofp_event, ofproto_parser
from ryu_apps.runtime import MAIN_DISPATCHER as MAIN
from ryu_apps.supervision import Supervisor

LOG = logging.getLogger("septum.listener")
HELLO, ERROR, FEATURES_REPLY, MULTIPART = 0, 1, 6, 19
PORT_DESCRIPTION = 13  # kind of multipart answer
TABLES_AT = 20  # where a features reply has its number of tables
MAX_TABLES = 254
VERSION = 4
READ_BLOCK = 16_384  # bytes: some hundred packet copies, two milliseconds' work
BUSY = 512 * 1024  # bytes a second, some 2,000 packet copies, from which on reading waits
GATHER = 0.002  # seconds that it waits for more, so that there is more to do each time
PACE_WINDOW = 0.02  # seconds
HANDSHAKE_WITHIN = 10.0  # seconds until a connection must be a switch's
TLS_WITHIN = 5.0
SOCKET_TIMEOUT = 2.0  # seconds: how often a silent connection is looked at
MAX_CONNECTIONS = 4_096
MAX_PER_ADDRESS = 1_024  # connections of one address: a machine may have many switches
MAX_HANDSHAKES = 256  # connections that have not finished the handshake
MAX_HANDSHAKES_PER_ADDRESS = 32  # of them from one address
MAX_MALFORMED = 100  # messages of one connection, in which case it is no switch of ours
BACKLOG = 128
RESERVE = 64  # file descriptors that connections leave to the rest of the controller
_HEADER = struct.Struct("!BBHI")
Tap = Callable[[Any, int, int, bytes], bool]


@dataclass(slots=True)
class Refused:
    """Connections and messages that were not taken, since the start."""

    too_many: int = 0
    no_handshake: int = 0
    tls: int = 0
    malformed: int = 0


@dataclass(slots=True)
class Pace:
    """How long to let a connection's bytes gather before reading on.

    Waking up for every single copy costs more than reading it. Where few come nothing waits.
    """

    since: float
    came: int = 0
    busy: bool = False

    def after(self, size: int, now: float) -> float:
        """Seconds to wait after a block of ``size`` bytes."""
        self.came += size
        if (passed := now - self.since) >= PACE_WINDOW:
            self.busy = self.came > BUSY * passed
            self.since, self.came = now, 0
        return GATHER if self.busy and size < READ_BLOCK else 0.0


class Unreadable(Exception):
    """A stream that cannot be OpenFlow 1.3 any more."""


class SwitchConnection(controller.Datapath):  # type: ignore[misc]
    """One switch's connection. ``tap(connection, type, xid, bytes)`` sees each message of a
    known switch first; what it takes (returns True for) is not parsed into objects at all.
    ``paused()`` is called when no more messages are at hand. Call ``handshake_done()`` once the
    handshake is. ``tables`` is how many tables the switch announced, ``reported`` its ports;
    ``names`` are those of its certificate, None without TLS."""

    def __init__(
        self,
        sock: Any,
        address: Any,
        tap: Tap,
        paused: Callable[[], None],
        handshake_done: Callable[[], None],
        refused: Refused,
        names: frozenset[str] | None = None,
    ) -> None:
        super().__init__(sock, address)
        self.socket.settimeout(SOCKET_TIMEOUT)
        self._tap, self._paused, self._refused = tap, paused, refused
        self._until = time.monotonic() + HANDSHAKE_WITHIN
        self._malformed = 0
        self.handshake_done = handshake_done
        self.tables = MAX_TABLES
        self.reported, self.names = ReportedPorts(), names

    def _recv_loop(self) -> None:
        rest = b""
        pace = Pace(time.monotonic())
        try:
            while self.state != DEAD_DISPATCHER:
                self._check_handshake()
                block = self._receive()
                if block is None:
                    continue
                if not block:
                    break
                # It is alive: its answer to an echo request may be far behind in what it sends.
                self.unreplied_echo_requests.clear()
                rest = self._messages(rest + block)
                self._paused()
                hub.sleep(pace.after(len(block), time.monotonic()))  # others get their turn
        except Unreadable as error:
            LOG.warning("%s: %s; connection closed", self._name(), error)
        finally:
            self.close()
            self.socket.close()

    def _receive(self) -> bytes | None:
        """The next bytes; none at the end, None when there is nothing yet."""
        try:
            return bytes(self.socket.recv(READ_BLOCK))
        except TimeoutError:
            return None
        except ssl.SSLError as error:
            return None if "timed out" in str(error) else b""
        except (EOFError, OSError):
            return b""

    def _check_handshake(self) -> None:
        if self.state != MAIN and time.monotonic() > self._until:
            self._refused.no_handshake += 1
            raise Unreadable(f"no OpenFlow handshake within {HANDSHAKE_WITHIN:g} s")

    def _messages(self, data: bytes) -> bytes:
        """Handle every whole message; what is left. Raises Unreadable."""
        at = 0
        while len(data) - at >= _HEADER.size and self.state != DEAD_DISPATCHER:
            version, kind, length, xid = _HEADER.unpack_from(data, at)
            if length < _HEADER.size:
                raise Unreadable(f"a message of {length} bytes")
            if version != VERSION and kind not in (HELLO, ERROR):
                raise Unreadable(f"OpenFlow version byte {version:#x}, not 1.3")
            if len(data) - at < length:
                break
            self._handle(version, kind, xid, data[at : at + length])
            at += length
        return data[at:]

    def _handle(self, version: int, kind: int, xid: int, message: bytes) -> None:
        if kind == FEATURES_REPLY and len(message) > TABLES_AT:
            self.tables = message[TABLES_AT]
        if kind == MULTIPART and self.state != MAIN:
            if int.from_bytes(message[8:10], "big") == PORT_DESCRIPTION:
                self.reported.describe(message)
        try:
            if self._tap(self, kind, xid, message):
                return
            parsed = ofproto_parser.msg(self, version, kind, len(message), xid, message)
            if parsed is None:
                raise ValueError("not understood")
            event = ofp_event.ofp_msg_to_ev(parsed)
            self.ofp_brick.send_event_to_observers(event, self.state)
            for handler in self.ofp_brick.get_handlers(event):
                if self.state in handler.callers[event.__class__].dispatchers:
                    handler(event)
        except Exception as error:  # a switch may send anything
            self._count_malformed(kind, error)

    def _count_malformed(self, kind: int, error: Exception) -> None:
        self._refused.malformed += 1
        self._malformed += 1
        if self._malformed == 1:
            LOG.warning("%s: message of type %d dropped: %r", self._name(), kind, error)
        if self._malformed >= MAX_MALFORMED or self.state != MAIN:
            raise Unreadable(f"{self._malformed} malformed messages")

    def _name(self) -> str:
        who = f"{self.address[0]} port {self.address[1]}"
        return who if self.id is None else f"switch {self.id} ({who})"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our own key and certificate, and who signs switches' certificates."""

    key: str
    certificate: str
    authority: str

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later with certificates of both sides. Raises OSError (ssl.SSLError)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.authority)
        return context


@dataclass(slots=True)
class Listener:
    """Accepts connections on one or more addresses, until the process ends."""

    tap: Tap
    paused: Callable[[], None]
    supervisor: Supervisor
    refused: Refused = field(default_factory=Refused)
    _connections: Counter[str] = field(default_factory=Counter)  # by address
    _handshakes: Counter[str] = field(default_factory=Counter)

    def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen on an address. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.supervisor.loop("switch listener", self._serve, server, tls)

    def _serve(self, server: socket.socket, tls: ssl.SSLContext | None) -> None:
        while True:
            try:
                sock, address = server.accept()
            except OSError as error:  # such as too many open files: existing connections continue
                LOG.error("a connection cannot be taken: %s", error)
                hub.sleep(1.0)
                continue
            if not self._room_for(address[0]) or no_descriptors_beyond(sock):
                self.refused.too_many += 1
                sock.close()
                continue
            self._connections[address[0]] += 1
            self._handshakes[address[0]] += 1
            self.supervisor.job("switch connection", self._take, sock, address, tls)

    def _room_for(self, host: str) -> bool:
        total = self._handshakes.total()
        if total >= MAX_HANDSHAKES or self._handshakes[host] >= MAX_HANDSHAKES_PER_ADDRESS:
            return False
        return (
            self._connections.total() < MAX_CONNECTIONS
            and self._connections[host] < MAX_PER_ADDRESS
        )

    def _take(self, sock: Any, address: Any, tls: ssl.SSLContext | None) -> None:
        unfinished = True

        def known() -> None:
            nonlocal unfinished
            if unfinished:
                unfinished = False
                self._handshakes[address[0]] -= 1
                self._handshakes += Counter()  # forget addresses without any

        try:
            names = None
            if tls is not None:
                sock = self._secured(sock, address, tls)
                names = None if sock is None else certificate_names(sock.getpeercert())
            if sock is not None:
                ours = self.tap, self.paused, known, self.refused
                SwitchConnection(sock, address, *ours, names).serve()
        except OSError as error:
            LOG.info("connection from %s ended: %s", address[0], error)
        finally:
            known()
            self._connections[address[0]] -= 1
            self._connections += Counter()
            if sock is not None:
                sock.close()

    def _secured(self, sock: Any, address: Any, tls: ssl.SSLContext) -> Any:
        """The socket under TLS; None for a peer without a valid certificate."""
        try:
            sock.settimeout(TLS_WITHIN)
            return tls.wrap_socket(sock, server_side=True)
        except (OSError, EOFError) as error:
            self.refused.tls += 1
            reason = getattr(error, "reason", None) or error
            LOG.warning("TLS connection from %s refused: %s", address[0], reason)
            sock.close()
            return None


def no_descriptors_beyond(sock: socket.socket) -> bool:
    """Whether a socket has one of the last descriptors: the kernel gives the lowest that is free,
    so that all below are taken."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most != resource.RLIM_INFINITY and sock.fileno() >= most - RESERVE

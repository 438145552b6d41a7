"""The controller's core on one real switch, over a bare socket: what it sends, and when.

No library and no second process stand between, so that the figures are of the
rules, their bytes and the switch. Times are of `time.perf_counter`, in seconds.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mininet_tests.lab.machine import said, vsctl
from policies.model import Policy
from ryu_apps.core import BARRIER, Core
from ryu_apps.effects import Effect, Send
from ryu_apps.openflow import messages
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.session import Phase

BRIDGE = "septum-bench"
HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
DPID = 1
PATIENCE = 30.0


@dataclass(slots=True)
class Driven:
    """A session with the bridge. ``sent`` is when the first bytes of the last change left, and
    ``confirmed`` when its barrier came back."""

    core: Core
    door: socket.socket
    sent: float = 0.0
    confirmed: float = 0.0
    _in: bytes = b""
    _socket: socket.socket = field(default_factory=socket.socket)

    def connect(self) -> None:
        """Take the switch's connection and greet it; its rules are not looked at yet.

        One that waited too long for us has ended on the switch's side, and another follows.
        """
        while True:
            try:
                return self._greet()
            except (BrokenPipeError, ConnectionError):
                self._socket.close()

    def _greet(self) -> None:
        self._in = b""
        self._socket, _ = self.door.accept()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(0.002)
        self._socket.sendall(messages.message(HELLO, 1, b""))
        self._socket.sendall(messages.message(FEATURES_REQUEST, 2, b""))
        self.turn_until(lambda: DPID in self.core.sessions)

    def close(self) -> None:
        self._socket.close()

    def bring_up(self) -> None:
        """Until the switch has all its rules."""
        self.turn_until(self._ready)

    def _ready(self) -> bool:
        session = self.core.sessions[DPID]
        return session.phase is Phase.READY and session.idle

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.sent = time.perf_counter()
                self._socket.settimeout(PATIENCE)
                self._socket.sendall(effect.data)
                self._socket.settimeout(0.002)

    def turn_until(self, done: Callable[[], bool]) -> None:
        until = time.perf_counter() + PATIENCE
        while not done():
            if time.perf_counter() > until:
                raise TimeoutError(f"the switch did not answer in {PATIENCE:g} s")
            self.turn()

    def turn(self) -> None:
        """Whatever has come in."""
        try:
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError("the switch closed the connection")
            self._in += data
        except TimeoutError:
            if DPID in self.core.sessions:
                self.carry_out(self.core.tick(time.time()))
            return
        at = 0
        while len(self._in) - at >= 8:
            length = int.from_bytes(self._in[at + 2 : at + 4], "big")
            if len(self._in) - at < length:
                break
            self._hear(self._in[at : at + length])
            at += length
        self._in = self._in[at:]

    def _hear(self, data: bytes) -> None:
        kind, xid = data[1], int.from_bytes(data[4:8], "big")
        if kind == ECHO_REQUEST:
            self._socket.sendall(messages.message(ECHO_REPLY, xid, data[8:]))
        elif kind == FEATURES_REPLY:
            ports = ReportedPorts.of({1: bytes(5) + b"\1", 2: bytes(5) + b"\2"})
            self.carry_out(self.core.switch_up(DPID, ports, time.time(), data[20]))
        elif DPID in self.core.sessions:
            if kind == BARRIER:
                self.confirmed = time.perf_counter()
            self.carry_out(self.core.message(DPID, kind, xid, data, time.time()))


@contextmanager
def bridge() -> Iterator[socket.socket]:
    """An empty Open vSwitch bridge, and the socket on which it looks for its controller."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        vsctl("--if-exists", "del-br", BRIDGE)
        try:
            vsctl(
                *("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"),
                *("protocols=OpenFlow13", "fail_mode=secure"),
                f"other-config:datapath-id={DPID:016x}",
                *("--", "set-controller", BRIDGE, f"tcp:127.0.0.1:{port}"),
                *("--", "set", "controller", BRIDGE, "max_backoff=1000"),
            )
            yield door
        finally:
            vsctl("--if-exists", "del-br", BRIDGE)


@contextmanager
def driven(policy: Policy, door: socket.socket) -> Iterator[Driven]:
    """A fresh core, connected; what an earlier one wrote is on the switch still."""
    core = Core(policy, b"bench")
    core.start((), (), ())
    core.desired_state.prepare(time.time())
    found = Driven(core, door)
    found.connect()
    try:
        yield found
    finally:
        found.close()


def empty(*, meters: bool = True) -> None:
    """No rules any more; rules may name meters, which can stay."""
    for what in ("del-flows", *(("del-meters",) if meters else ())):
        said(["ovs-ofctl", "-O", "OpenFlow13", what, BRIDGE], timeout=20)


def add_by_tool(path: str) -> float:
    """Seconds that ``ovs-ofctl --bundle add-flows`` takes."""
    words = ["ovs-ofctl", "-O", "OpenFlow13", "--bundle", "add-flows", BRIDGE, path]
    start = time.perf_counter()
    subprocess.run(words, check=True, timeout=60)
    return time.perf_counter() - start

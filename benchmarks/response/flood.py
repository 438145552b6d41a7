"""A thousand alerts a second, each asking for a block: does the envelope hold, does memory, and do
switches notice? A real controller on a real switch, with the analysis in its own process; only
the detector is told whom to accuse."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.runner import Benchmark, Figure, Target
from console.clients.controller import ask_controller
from mininet_tests.experiments.forced_alerts import FLOOD
from mininet_tests.experiments.kills import forced_alert_controller
from mininet_tests.lab.controller import free_port
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import plan_from_policy
from policies.language.reader import load_policy
from response.state.store import Store

HOSTS, RATE, SECONDS, IDLE_SECONDS = 2_000, 1_000, 20, 10
MAX_HOSTS = 3
HELLO, ECHO_REQUEST, ECHO_REPLY, VERSION = 0, 2, 3, 4
PER_CONNECTION = 5.0  # seconds
EVERY = 0.004  # seconds between echoes
SMALL = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: flood}
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {side: a}}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {side: a}}
"""
REST = f"""
segments:
  all: {{members: [{{cidr: 10.0.0.0/8}}], mode: enforce, adapt: auto}}
intents:
  - {{name: all-talk, from: all, to: all, services: [tcp/7000]}}
defaults: {{action: deny, mode: enforce}}
adaptive:
  actions: [alert, rate_limit, isolate, quarantine]
  max_hosts: {MAX_HOSTS}
  max_share: 1.0
  ttl: 15m
"""


@dataclass(frozen=True, slots=True)
class Flooded:
    """Echo times in seconds, resident memory in MiB at three moments, and what came of it."""

    idle: tuple[float, ...]
    busy: tuple[float, ...]
    memory: tuple[float, float, float]
    alerts: int
    most_blocked: int
    open_proposals: int
    lost: int


class Echo:
    """Asks the controller for OpenFlow echoes, as a switch does. A peer that never finishes its
    handshake is closed after ten seconds, so each connection is used for a few."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._peer = socket.socket()

    def times(self, seconds: float) -> tuple[float, ...]:
        """How long each answer took."""
        found: list[float] = []
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            with socket.create_connection(("127.0.0.1", self._port), 5) as self._peer:
                self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peer.sendall(struct.pack("!BBHI", VERSION, HELLO, 8, 1))
                self._read_until(HELLO)
                found += self._asked(min(until, now + PER_CONNECTION))
        return tuple(found)

    def _asked(self, until: float) -> list[float]:
        found: list[float] = []
        while time.monotonic() < until:
            began = time.perf_counter()
            self._peer.sendall(struct.pack("!BBHI", VERSION, ECHO_REQUEST, 8, len(found)))
            self._read_until(ECHO_REPLY)
            found.append(time.perf_counter() - began)
            time.sleep(EVERY)
        return found

    def _read_until(self, wanted: int) -> None:
        while True:
            head = self._read(8)
            _, kind, length, xid = struct.unpack("!BBHI", head)
            body = self._read(length - 8)
            if kind == ECHO_REQUEST:  # the controller asks, too, and closes where nobody answers
                self._peer.sendall(struct.pack("!BBHI", VERSION, ECHO_REPLY, length, xid) + body)
            if kind == wanted:
                return

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._peer.recv(size - len(data))
            if not more:
                raise RuntimeError("the controller closed the echo connection")
            data += more
        return data


@cache
def flooded() -> Flooded:
    with TemporaryDirectory(prefix="septum-") as name:
        directory = Path(name)
        small, large = directory / "lab.yaml", directory / "policy.yaml"
        small.write_text(SMALL + REST)
        crowd = "".join(
            f'  x{n}: {{mac: "02:00:01:00:{n >> 8:02x}:{n & 255:02x}", '
            f"ip: [10.1.{n // 250}.{n % 250 + 1}], switch: 1, port: 1, labels: {{side: a}}}}\n"
            for n in range(HOSTS)
        )
        large.write_text(SMALL + crowd + REST)
        port = free_port()
        state = directory / "state"
        state.mkdir()
        with Lab(plan_from_policy(load_policy([small]), []), f"tcp:127.0.0.1:{port}"):
            controller = forced_alert_controller(large, state, port, 1)
            try:
                controller.start()
                controller.wait_ready(60)
                return _measured(controller.options.state, port)
            finally:
                controller.stop()


def _measured(state: Path, port: int) -> Flooded:
    echo = Echo(port)
    time.sleep(2.0)
    pid = ask_controller(state, {"do": "status"})["analysis"]["pid"]
    idle = echo.times(IDLE_SECONDS)
    before = _resident(pid)
    (state / "flood.new").write_text(f"{HOSTS} {RATE} {SECONDS}")
    (state / "flood.new").rename(state / FLOOD)
    first = echo.times(SECONDS / 2)
    middle = _resident(pid)
    busy = first + echo.times(SECONDS / 2)
    alerts = _settled(state)
    store = Store.open(state, time.time(), create=False)
    decisions = store.decisions()
    blocked = Counter(d.state for d in decisions)
    lost = ask_controller(state, {"do": "status"})["lost"]["records"]
    store.close()
    return Flooded(
        idle, busy, (before, middle, _resident(pid)), alerts, blocked["active"],
        blocked["proposed"], lost,
    )  # fmt: skip


def _settled(state: Path) -> int:
    """Wait until no more alerts come; how many there were."""
    store, last, until = Store.open(state, time.time(), create=False), -1, time.monotonic() + 60
    while time.monotonic() < until:
        now = sum(1 for _ in store.audit_entries(kind="alert"))
        if now == last:
            break
        last = now
        time.sleep(1.0)
    store.close()
    return last


def _resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} says nothing of its memory")


def p99(times: tuple[float, ...]) -> float:
    return statistics.quantiles(times, n=100)[98]


def echo_ratio() -> Figure:
    seen = flooded()
    idle, busy = p99(seen.idle), p99(seen.busy)
    note = (
        f"p99 {busy * 1e3:.2f} ms while flooded, {idle * 1e3:.2f} ms idle; {len(seen.busy)} echoes"
    )
    return Figure(busy / idle, note)


def beyond() -> Figure:
    seen = flooded()
    note = f"{seen.alerts} alerts in {SECONDS} s, {seen.open_proposals} proposals, {seen.lost} lost"
    return Figure(
        max(0, seen.most_blocked - MAX_HOSTS), f"hosts blocked beyond the envelope; {note}"
    )


def handled() -> Figure:
    seen = flooded()
    share = (seen.alerts + seen.lost) / (RATE * SECONDS)
    return Figure(share, f"of {RATE * SECONDS} alerts decided ({seen.alerts}) or counted as lost")


def memory() -> Figure:
    before, middle, after = flooded().memory
    note = (
        f"MiB more in the second half; {before:.0f} before, {middle:.0f} midway, {after:.0f} after"
    )
    return Figure(after - middle, note)


BENCHMARKS = (
    Benchmark("response.flood_echo_ratio", Target("<=", 2.0, "x"), echo_ratio),
    Benchmark("response.flood_beyond_envelope", Target("==", 0.0), beyond),
    Benchmark("response.flood_accounted", Target("==", 1.0), handled),
    Benchmark("response.flood_memory_growth", Target("<=", 40.0, "MiB"), memory),
)

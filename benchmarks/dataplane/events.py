"""New connections from the packet copy to the score, beside Ryu's own learning switch.

The controller and its analysis share one core, the load has the other. An event
counts when its score is out, and none may be dropped on the way.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec

from analysis.python_program import command
from benchmarks.noted import SCORED
from benchmarks.openflow_load import LoadSwitch, opening_frame, packet_in, percentile
from benchmarks.runner import Benchmark, Figure, Target, median, ratio
from mininet_tests.lab.controller import ROOT, free_port
from policies.rules import layout
from policies.rules.layout import DecidedBits, Reason
from ryu_apps.launcher import LaunchSettings
from ryu_apps.openflow.fields import BY_NAME

POLICY = ROOT / "policies" / "examples" / "shop.yaml"
PAIRS = 5
CLIENTS, SERVERS, PORTS = 400, 40, 8
SERVICES = (80, 443, 22, 5432, 53, 8080, 6379)
CALM = 1_000  # events a second
CALM_FOR = 4  # seconds
STEPS = (9_000, 10_500, 12_000, 13_500, 15_000, 17_000, 19_000)  # events a second, tried in turn
STEP_FOR = 3  # seconds
DRAIN = 0.5  # seconds after the last event was sent in which its score must be out
WINDOW = 64

Times = dict[tuple[str, int], float]


@dataclass(frozen=True, slots=True)
class Events:
    """Packet-ins with the key that their score is found by."""

    packets: Sequence[bytes]
    keys: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class EventRun:
    """``p99`` in seconds from due time at `CALM` a second; ``rate`` is the highest sustained one,
    events a second; ``dropped`` of the events at and below it."""

    p99: float
    rate: float
    dropped: int = 0


def _field(name: str, value: int) -> bytes:
    found = BY_NAME[name]
    return struct.pack("!I", found.header) + value.to_bytes(found.size, "big")


def _pipeline(ips: tuple[bytes, bytes], ports: tuple[int, int]) -> bytes:
    """What Open vSwitch 3.1 tells of the pipeline with a copy from the observe table."""
    marks = Reason.CONNECTION << layout.REASON.low | DecidedBits.ALLOW << layout.OUTCOME.low
    source, target = (int.from_bytes(each, "big") for each in ips)
    told = {
        "eth_type": 0x800, "reg0": marks | 0xA61, "reg1": 0x7129B8D5, "reg2": 0x6001B58,
        "reg5": 1, "reg7": 2, "reg11": 0xBE43, "reg15": 0xEFF9, "ct_state": 0x21, "ct_zone": 1,
        "ct_nw_src": source, "ct_nw_dst": target, "ct_nw_proto": 6,
        "ct_tp_src": ports[0], "ct_tp_dst": ports[1],
    }  # fmt: skip
    return b"".join(_field(name, value) for name, value in told.items())


def events(count: int, first: int, copies: bool) -> Events:
    """Openings between clients and servers, numbered from ``first``.

    ``copies``: as the observe table sends them; else as a table miss does.
    """
    random = Random(first)
    packets, keys = [], []
    for number in range(first, first + count):
        client, port = number % CLIENTS, 1024 + number // CLIENTS % 60_000
        server = (client + random.choice((1, 2, 3, 5, 8, 13))) % SERVERS
        ips = bytes((10, 1, client >> 8, client & 255)), bytes((10, 2, 0, 1 + server))
        macs = bytes((2, 1, 0, 0, client >> 8, client & 255)), bytes((2, 2, 0, 0, 0, server))
        ports = port, SERVICES[server % len(SERVICES)]
        fields = _field("in_port", 1 + client % PORTS)
        if copies:
            fields += _pipeline(ips, ports)
        packets.append(packet_in(fields, opening_frame(macs, ips, ports, number)))
        keys.append((".".join(map(str, ips[0])), port))
    return Events(packets, keys)


@contextmanager
def _on_first_core(argv: Sequence[str], environment: dict[str, str]) -> Iterator[None]:
    """A program on one core of its own, ended as a user would; this process on the others."""
    cores = sorted(os.sched_getaffinity(0))
    program = ["taskset", "-c", str(cores[0]), *command(*argv)]
    process = subprocess.Popen(
        program, env=os.environ | environment, cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ours() -> EventRun:
    calm = events(CALM * CALM_FOR, 0, copies=True)
    first, steps = len(calm.packets), []
    for offered in STEPS:
        steps.append(events(offered * STEP_FOR, first, copies=True))
        first += len(steps[-1].packets)
    with TemporaryDirectory(prefix="septum-") as name:
        folder, port = Path(name), free_port()
        ready, noted = folder / "ready", folder / "scored"
        settings = LaunchSettings(
            (str(POLICY),), str(folder / "state"), port=port, adapt=False,
            ready_file=str(ready), expect_switches=1,
        )  # fmt: skip
        argv = ["benchmarks.programs.scored_controller", msgspec.json.encode(settings).decode()]
        with _on_first_core(argv, {SCORED: str(noted)}):
            switch = LoadSwitch(("127.0.0.1", port), ports=PORTS)
            switch.connect()
            switch.wait(ready.exists, 20.0)
            calm_due = switch.offer(calm.packets, CALM)
            switch.wait(lambda: False, 1.0)
            due = []
            for step, offered in zip(steps, STEPS, strict=True):
                due.append(switch.offer(step.packets, offered))
                switch.wait(lambda: False, 2.0)
            switch.close()
        scored = _scored(noted)
    waits = [
        scored.get(key, float("inf")) - at for key, at in zip(calm.keys, calm_due, strict=True)
    ]
    held, missing = 0, sum(key not in scored for key in calm.keys)
    for step, offered, at in zip(steps, STEPS, due, strict=True):
        last = max(scored.get(key, float("inf")) for key in step.keys)
        if last > at[-1] + DRAIN:
            break
        held = offered
    return EventRun(percentile(waits, 0.99), held, missing)


def _scored(path: Path) -> Times:
    found: Times = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        address, port, at = line.split()
        found.setdefault((address, int(port)), float(at))
    return found


def theirs() -> EventRun:
    """Ryu's learning switch: packet-outs a second, closed loop; the wait for one, open loop."""
    port = free_port()
    with _on_first_core(["benchmarks.programs.simple_switch", str(port)], {}):
        switch = LoadSwitch(("127.0.0.1", port), ports=PORTS)
        switch.connect()
        switch.settle()
        calm = events(CALM * CALM_FOR, 0, copies=False)
        due = switch.offer(calm.packets, CALM)
        switch.wait(lambda: len(switch.answered) >= len(due), 5.0)
        waits = [switch.answered.get(n, float("inf")) - at for n, at in enumerate(due)]
        switch.answered.clear()
        rate = switch.race(events(60_000, 10**6, copies=False).packets, WINDOW, STEP_FOR)
        switch.close()
    return EventRun(percentile(waits, 0.99), rate)


@cache
def pairs() -> tuple[tuple[EventRun, EventRun], ...]:
    return tuple((ours(), theirs()) for _ in range(PAIRS))


def rate() -> Figure:
    return median(mine.rate for mine, _ in pairs())


def against_ryu() -> Figure:
    found = ratio([(mine.rate, other.rate) for mine, other in pairs()])
    other = median(other.rate for _, other in pairs())
    return Figure(found.value, f"{found.note}; simple_switch_13: {other.value:,.0f}/s")


def wait() -> Figure:
    found = ratio([(mine.p99, other.p99) for mine, other in pairs()])
    mine, other = (median(each[side].p99 * 1e3 for each in pairs()) for side in (0, 1))
    return Figure(found.value, f"{found.note}; {mine.value:.2f} ms and {other.value:.2f} ms")


def dropped() -> Figure:
    return Figure(max(mine.dropped for mine, _ in pairs()), f"of {CALM * CALM_FOR:,}, worst run")


BENCHMARKS = (
    Benchmark("dataplane.events", Target(">=", 15_000, "events/s"), rate),
    Benchmark("dataplane.events_vs_ryu", Target(">=", 3.0), against_ryu),
    Benchmark("dataplane.event_p99_vs_ryu", Target("<=", 1.0), wait),
    Benchmark("dataplane.events_dropped", Target("==", 0.0), dropped),
)

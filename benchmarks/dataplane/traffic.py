"""What the rules cost the traffic: throughput, new connections and first packets beside a switch
that only learns addresses (``NORMAL``).

Both networks stand at the same time, with the same two hosts each, and are measured in turn. The
pipeline is that of a policy with 200 segments.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.runner import Benchmark, Figure, Target, median, ratio
from mininet_tests.lab.controller import Controller, ControllerOptions, free_port
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import LabPlan, plan_from_policy
from policies.language.reader import load_policy

TRAFFIC = str(Path(__file__).parents[1] / "programs" / "traffic.py")
PAIRS = 9
SEGMENTS = 200
OPENED = 700  # connections per run; all of them together leave ephemeral ports to spare
STREAM_FOR = 3  # seconds of iperf3
PORT, STREAM_PORT = "7000", "5201"
CLIENT, SERVER, ADDRESS = "client", "server", "10.0.0.2"


@dataclass(slots=True)
class NetworkMedians:
    """Medians of the runs on one network: Mbit/s, connections a second, first-packet seconds."""

    throughput: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    first_alone: list[float] = field(default_factory=list)  # with the controller stopped


def _policy() -> str:
    """Two hosts in segments of their own, among 200 with hosts that are not there."""
    lines = ["apiVersion: septum/v1", "kind: SegmentPolicy", "metadata: {name: traffic}", "hosts:"]
    for number in range(1, SEGMENTS + 1):
        name = {1: CLIENT, 2: SERVER}.get(number, f"other{number}")
        place = f", switch: 1, port: {number}" if number <= 2 else ""
        lines.append(
            f'  {name}: {{mac: "02:00:00:00:01:{number:02x}", ip: [10.0.0.{number}]{place}, '
            f"labels: {{number: n{number}}}}}"
        )
    lines.append("segments:")
    lines += [
        f"  s{number}: {{members: [{{labels: {{number: n{number}}}}}], mode: enforce}}"
        for number in range(1, SEGMENTS + 1)
    ]
    lines.append("intents:")
    lines.append(f"  - {{name: measured, from: s1, to: s2, services: [tcp/{PORT}, tcp/5201]}}")
    lines += [
        f"  - {{name: i{number}, from: s{number}, to: s{number - 1}, services: [tcp/443, udp/53]}}"
        for number in range(3, SEGMENTS + 1)
    ]
    lines.append("defaults: {action: deny, mode: enforce}")
    return "\n".join(lines) + "\n"


@contextmanager
def _networks() -> Iterator[tuple[Lab, Lab, Controller]]:
    with TemporaryDirectory(prefix="septum-") as name:
        folder, port = Path(name), free_port()
        path = folder / "policy.yaml"
        path.write_text(_policy(), encoding="utf-8")
        plan = plan_from_policy(load_policy([path]), ())
        hosts = tuple(each for each in plan.hosts if each.name in (CLIENT, SERVER))
        plain = LabPlan((7,), tuple(_moved(each, 7) for each in hosts))
        with Lab(LabPlan((1,), hosts), f"tcp:127.0.0.1:{port}") as ours, Lab(plain) as normal:
            normal.ofctl(7, "add-flow", "actions=NORMAL")
            options = ControllerOptions(path, folder / "state", port, 1)
            options.state.mkdir()
            controller = Controller(options, folder)
            try:
                controller.start()
                controller.wait_ready()
                yield ours, normal, controller
            finally:
                controller.stop()


def _moved(host: Any, switch: int) -> Any:
    return type(host)(host.name, host.mac, host.ips, switch, host.port)


def _measure(lab: Lab, side: NetworkMedians) -> None:
    opened = _opened(lab)
    side.rate.append(opened["opened"] / opened["seconds"])
    side.first.append(statistics.median(opened["waits"]))
    done = lab.host(CLIENT).run(
        ["iperf3", "-J", "-c", ADDRESS, "-p", STREAM_PORT, "-t", str(STREAM_FOR)], timeout=20
    )
    side.throughput.append(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e6)


def _opened(lab: Lab) -> Any:
    argv = [sys.executable, TRAFFIC, "open", ADDRESS, PORT, str(OPENED)]
    found = json.loads(lab.host(CLIENT).run(argv, timeout=60).stdout)
    if found["opened"] < OPENED:
        raise RuntimeError(f"only {found['opened']} of {OPENED} connections came about")
    return found


@cache
def sides() -> tuple[NetworkMedians, NetworkMedians]:
    """Ours and the plain switch's."""
    mine, plain = NetworkMedians(), NetworkMedians()
    with _networks() as (ours, normal, controller):
        for lab in (ours, normal):
            lab.host(SERVER).start([sys.executable, TRAFFIC, "serve", ADDRESS, PORT])
            lab.host(SERVER).start(["iperf3", "-s", "-p", STREAM_PORT])
        time.sleep(1.0)
        for lab in (ours, normal):
            _opened(lab)  # addresses are learned, and everything is warm
        for _ in range(PAIRS):
            _measure(ours, mine)
            _measure(normal, plain)
        controller.kill()
        for _ in range(PAIRS):
            mine.first_alone.append(statistics.median(_opened(ours)["waits"]))
            plain.first_alone.append(statistics.median(_opened(normal)["waits"]))
    return mine, plain


def _compared(what: str, unit: str, scale: float = 1.0) -> Figure:
    mine, plain = (getattr(side, what) for side in sides())
    found = ratio(list(zip(mine, plain, strict=True)))
    ours, theirs = median(each * scale for each in mine), median(each * scale for each in plain)
    return Figure(found.value, f"{found.note}; {ours.value:,.4g} and {theirs.value:,.4g} {unit}")


def throughput() -> Figure:
    return _compared("throughput", "Mbit/s")


def connections() -> Figure:
    return _compared("rate", "connections/s")


def first_packet() -> Figure:
    return _compared("first", "ms", 1e3)


def first_packet_alone() -> Figure:
    return _compared("first_alone", "ms, the controller killed", 1e3)


BENCHMARKS = (
    Benchmark("dataplane.tcp_throughput_vs_normal", Target(">=", 0.9), throughput),
    Benchmark("dataplane.tcp_connections_vs_normal", Target(">=", 0.8), connections),
    Benchmark("dataplane.first_packet_vs_normal", Target("<=", 1.3), first_packet),
    Benchmark("dataplane.first_packet_alone_vs_normal", Target("<=", 1.3), first_packet_alone),
)

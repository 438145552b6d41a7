"""From a decision to the last hostile packet through, from a scan's first packet to containment,
and how few rules a large mesh of segments needs."""

from __future__ import annotations

import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.runner import Benchmark, Figure, Target
from benchmarks.street.demo import demo
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import plan_from_policy
from policies.compiler import Compiler, SwitchView, declared_bindings
from policies.language.reader import load_policy
from policies.model import TCP, Defaults, Host, Intent, Mode, Policy, Segment, Selector, Service
from policies.rules.layout import Category, category_of
from policies.semantics.membership import Membership
from response.decision import Decision
from response.ipc.messages import Enforce, Release
from ryu_apps.core import Core
from tests.support.live.driven_switch import Driven

DECISIONS = 100
RATE = 4_000  # hostile datagrams a second
DATAGRAMS = str(
    Path(__file__).resolve().parents[2] / "mininet_tests" / "traffic" / "last_packet.py"
)
ATTACKER, TARGET, PORT = "10.0.0.1", "10.0.0.2", 9000
POLICY = f"""
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {{name: block}}
hosts:
  a1: {{mac: "02:00:00:00:00:01", ip: [{ATTACKER}], switch: 1, port: 1, labels: {{side: a}}}}
  b1: {{mac: "02:00:00:00:00:02", ip: [{TARGET}], switch: 1, port: 2, labels: {{side: b}}}}
segments:
  a: {{members: [{{labels: {{side: a}}}}], mode: enforce}}
  b: {{members: [{{labels: {{side: b}}}}], mode: enforce}}
intents:
  - {{name: let, from: a, to: b, services: [udp/{PORT}]}}
defaults: {{action: deny, mode: enforce}}
"""
SEEDS = (1, 2, 3, 4, 5)
SEGMENTS, PER_SEGMENT, SERVICES = 50, 20, 5


@contextmanager
def blocked_lab() -> Iterator[tuple[Lab, Driven]]:
    """A lab whose one switch the core drives from this process."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="septum-")))
        path = directory / "policy.yaml"
        path.write_text(POLICY)
        policy = load_policy([path])
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        target = f"tcp:127.0.0.1:{door.getsockname()[1]}"
        lab = stack.enter_context(Lab(plan_from_policy(policy, ()), target))
        core = Core(policy, b"bench")
        core.start((), (), ())
        switch = Driven(core, door)
        switch.connect()
        switch.bring_up()
        yield lab, switch


def _decision(number: int) -> Decision:
    return Decision(
        id=f"bench-{number}", number=number, ts=time.time(), action="quarantine", target="a1",
        addresses=(ATTACKER,), scope="a1", state="active", ttl=600, alert="", why="",
        would_release_if="", by="bench",
    )  # fmt: skip


@cache
def waits() -> tuple[float, ...]:
    """Seconds from the decision in the controller's hands to the last datagram that arrived."""
    found = []
    with blocked_lab() as (lab, switch):
        words = [sys.executable, DATAGRAMS, "receive", TARGET, str(PORT)]
        heard = lab.host("b1").start(words, stdout=subprocess.PIPE)
        lab.host("a1").start([sys.executable, DATAGRAMS, "send", TARGET, str(PORT), str(RATE)])
        assert heard.stdout is not None
        _turn(switch, 1.0)
        for number in range(1, DECISIONS + 1):
            decision = _decision(number)
            while select.select([heard.stdout], [], [], 0)[0]:
                heard.stdout.readline()  # a pause of the sender's own
            before = time.monotonic()
            switch.carry_out(switch.core.decisions.command(Enforce(decision), time.time()))
            _turn(switch, 0.1)
            found.append(max(0.0, float(heard.stdout.readline()) - before))
            switch.carry_out(switch.core.decisions.command(Release(decision, "bench"), time.time()))
            _turn(switch, 0.1)
    return tuple(found)


def _turn(switch: Driven, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        switch.turn()


def block_half() -> Figure:
    note = f"of {len(waits())} decisions under {RATE:,} hostile datagrams a second"
    return Figure(statistics.median(waits()) * 1e3, note)


def block_most() -> Figure:
    ordered = sorted(waits())
    return Figure(
        ordered[int(0.99 * len(ordered)) - 1] * 1e3, f"longest {ordered[-1] * 1e3:.2f} ms"
    )


def contained() -> Figure:
    """The whole street with all its processes: `septum demo`, first hostile packet to rule."""
    times = [demo("--seed", str(seed))[1]["seconds_to_rule"] for seed in SEEDS]
    known = [float("inf") if each is None else float(each) * 1e3 for each in times]
    return Figure(statistics.median(known), f"of {len(known)} attacks, slowest {max(known):.0f} ms")


def mesh() -> Figure:
    """Rules that intents make for a full mesh, against one for each two hosts and service."""
    segments, hosts, intents = [], [], []
    for segment in range(SEGMENTS):
        name = f"s{segment}"
        segments.append(Segment(name, (Selector(labels=(("s", name),)),), Mode.ENFORCE))
        for number in range(PER_SEGMENT):
            place = segment * PER_SEGMENT + number
            mac = "02:00:00:00:" + f"{place >> 8:02x}:{place & 255:02x}"
            address = ip_address(f"10.{segment}.0.{number + 1}")
            hosts.append(Host(f"h{place}", mac, (address,), 1, place + 1, labels=(("s", name),)))
    names = tuple(segment.name for segment in segments)
    for number in range(SERVICES):
        service = Service(TCP, 1000 * (number + 1), 1000 * (number + 1))
        intents.append(Intent(f"i{number}", names, names, (service,)))
    policy = Policy("mesh", tuple(hosts), tuple(segments), (), tuple(intents), Defaults())
    bindings = declared_bindings(policy)
    compiler = Compiler(policy, Membership(policy, bindings), bindings, 0.0)
    rules = compiler.rules(SwitchView(1, tuple(range(1, len(hosts) + 1))))
    judging = (Category.INTENT, Category.IDENTITY)
    ours = sum(category_of(rule.cookie) in judging for rule in rules)
    expanded = len(hosts) * (len(hosts) - 1) * SERVICES
    note = f"{ours:,} rules that judge, {len(rules):,} in all; host by host {expanded:,}"
    return Figure(expanded / ours, note)


BENCHMARKS = (
    Benchmark("dataplane.block_p50_ms", Target("<=", 2.0, "ms"), block_half),
    Benchmark("dataplane.block_p99_ms", Target("<=", 10.0, "ms"), block_most),
    Benchmark("dataplane.scan_to_contained_p50_ms", Target("<=", 250.0, "ms"), contained),
    Benchmark("dataplane.mesh_fewer_rules", Target(">=", 1_000.0), mesh),
)

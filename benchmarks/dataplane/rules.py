"""Ten thousand rules on Open vSwitch: pushed, changed, found again after a restart, read."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.policy.generator import generate
from benchmarks.runner import Benchmark, Figure, Target, median, ratio
from policies.language.reader import load_policy
from policies.model import ANY, TCP, Host, Intent, Policy, Service
from policies.rules.ovs_text import ovs_text
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import counters
from tests.support.live.driven_switch import DPID, Driven, add_by_tool, bridge, driven, empty

PAIRS = 5
HOSTS, SEGMENTS, INTENTS = 320, 60, 460  # on one switch: a little over 10,000 rules
CONNECTIONS = 10_000
COUNT_TABLE, COUNT_PRIORITY = 15, 100


@cache
def policy() -> Policy:
    with TemporaryDirectory(prefix="septum-") as name:
        path = generate(Path(name), HOSTS, SEGMENTS, INTENTS, switches=1, seed=3)
        return load_policy([path])


@dataclass(frozen=True, slots=True)
class Pushed:
    """Seconds of one full load by us and by the tool, of ``rules`` rules; ``flow_mods`` we sent."""

    ours: float
    tool: float
    rules: int
    flow_mods: int


@contextmanager
def _up(door: Any) -> Iterator[Driven]:
    with driven(policy(), door) as switch:
        switch.bring_up()
        yield switch


@cache
def pushed() -> tuple[Pushed, ...]:
    """The whole policy on an empty switch, atomically, and the same rules by ``ovs-ofctl``."""
    found = []
    with bridge() as door, TemporaryDirectory(prefix="septum-") as name:
        for _ in range(PAIRS):
            empty()
            with _up(door) as switch:
                session = switch.core.sessions[DPID]
                took, sent = switch.confirmed - switch.sent, session.counters.flow_mods
                rules = switch.core.reconciler.rules(session, time.time())
            path = Path(name) / "flows.txt"
            path.write_text("".join(f"{ovs_text(rule)}\n" for rule in rules))
            empty(meters=False)
            found.append(Pushed(took, add_by_tool(str(path)), len(rules), sent))
    return tuple(found)


def push() -> Figure:
    found = ratio([(each.tool, each.ours) for each in pushed()])
    mine, tool = (median(getattr(p, side) * 1e3 for p in pushed()) for side in ("ours", "tool"))
    note = f"{pushed()[0].rules:,} rules: {mine.value:.0f} ms and {tool.value:.0f} ms; {found.note}"
    return Figure(found.value, note)


@dataclass(frozen=True, slots=True)
class Changed:
    share: float  # flow-mods of the change, of those of a full load
    barrier: float  # seconds from sending it to its barrier
    whole: float  # seconds from being told to the barrier


def _larger() -> Iterator[Policy]:
    """One host more, and one intent more, in turn."""
    known = policy()
    for number in range(PAIRS):
        mac = f"0a:00:00:00:ff:{number:02x}"
        labels = known.hosts[number].labels
        host = Host(
            f"more{number}",
            mac,
            (ip_address(f"10.250.0.{number + 1}"),),
            1,
            30_000 + number,
            labels=labels,
        )
        yield replace(known, hosts=(*known.hosts, host))
        intent = Intent(
            f"more{number}", (known.segments[number].name,), (ANY,), (Service(TCP, 9, 9),)
        )
        yield replace(known, intents=(*known.intents, intent))


@cache
def changed() -> tuple[Changed, ...]:
    found = []
    with bridge() as door:
        empty()
        with _up(door) as switch:
            session = switch.core.sessions[DPID]
            full = session.counters.flow_mods
            for wanted in _larger():
                for each in (wanted, policy()):
                    before, told = session.counters.flow_mods, time.perf_counter()
                    switch.carry_out(switch.core.apply_policy(each, (), time.time()))
                    switch.turn_until(lambda: session.idle)
                    found.append(
                        Changed(
                            (session.counters.flow_mods - before) / full,
                            switch.confirmed - switch.sent,
                            switch.confirmed - told,
                        )
                    )
    return tuple(found)


def change_share() -> Figure:
    shares = [each.share for each in changed()]
    return Figure(max(shares), f"largest of {len(shares)} changes: a host or an intent, and back")


def change_barrier() -> Figure:
    found = median(each.barrier * 1e3 for each in changed())
    whole = median(each.whole * 1e3 for each in changed())
    return Figure(found.value, f"{found.note}; with the compiling {whole.value:.1f} ms")


@dataclass(frozen=True, slots=True)
class Again:
    seconds: float
    flow_mods: int


@cache
def again() -> tuple[Again, ...]:
    """A new controller on a switch that has all its rules."""
    found = []
    with bridge() as door:
        empty()
        with _up(door):
            pass
        for _ in range(PAIRS):
            with driven(policy(), door) as switch:
                start = time.perf_counter()
                switch.bring_up()
                took = time.perf_counter() - start
                found.append(Again(took, switch.core.sessions[DPID].counters.flow_mods))
    return tuple(found)


def restart_seconds() -> Figure:
    return median(each.seconds for each in again())


def restart_flow_mods() -> Figure:
    return Figure(max(each.flow_mods for each in again()), f"most of {len(again())} restarts")


def listing() -> list[bytes]:
    """What Open vSwitch lists of ten thousand connections that it counts, in messages."""
    entries = []
    for number in range(CONNECTIONS):
        source, target = 0x0A010000 + number % 4000, 0x0A020000 + number % 97
        fields = b"".join(
            header.to_bytes(4, "big") + value
            for header, value in (
                (0x00010004, struct.pack("!I", 0x1000)),
                (0x00010204, struct.pack("!I", number * 7919 & 0xFFFFFFFF)),
                (0x80000A02, b"\x08\x00"),
                (0x80001401, b"\x06"),
                (0x80001604, struct.pack("!I", source)),
                (0x80001804, struct.pack("!I", target)),
                (0x80001A02, struct.pack("!H", 1024 + number % 60_000)),
                (0x80001C02, struct.pack("!H", 443)),
            )
        )
        match = struct.pack("!HH", 1, 4 + len(fields)) + fields
        match += bytes(-len(match) % 8)
        load = struct.pack("!HHIHHIQ", 0xFFFF, 24, 0x2320, 7, 2 << 6, 0x00010004, 1)
        rest = match + struct.pack("!HHxxxx", 4, 8 + len(load)) + load
        head = struct.pack(
            "!HBxIIHHHHxxxxQQQ", 48 + len(rest), COUNT_TABLE, 3, 7, COUNT_PRIORITY, 15, 0, 1,
            0x0109 << 48, number, number * 1400,
        )  # fmt: skip
        entries.append(head + rest)
    found = []
    for first in range(0, CONNECTIONS, 300):
        body = struct.pack("!HHxxxx", 1, 1) + b"".join(entries[first : first + 300])
        found.append(messages.message(19, 1, body))
    return found


def read_counters() -> Figure:
    """Our reader against Ryu's parser on the same messages, processor time."""
    from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser

    class Datapath:
        ofproto, ofproto_parser = ofproto_v1_3, ofproto_v1_3_parser

    messages_read = listing()
    pairs = []
    for _ in range(PAIRS):
        start = time.process_time()
        ours = sum(octets for each in messages_read for _, _, octets in counters(each))
        middle = time.process_time()
        theirs = 0
        for each in messages_read:
            parsed = ofproto_v1_3_parser.msg_parser(Datapath(), 4, 19, len(each), 1, each)
            theirs += sum(stats.byte_count for stats in parsed.body)
        pairs.append((time.process_time() - middle, middle - start))
        if ours != theirs:
            raise AssertionError(f"read {ours} bytes where Ryu reads {theirs}")
    found = ratio(pairs)
    mine = median(ours * 1e3 for _, ours in pairs)
    return Figure(found.value, f"{CONNECTIONS:,} connections in {mine.value:.1f} ms; {found.note}")


BENCHMARKS = (
    Benchmark("dataplane.push_vs_ofctl", Target(">=", 1.5), push),
    Benchmark("dataplane.change_share", Target("<=", 0.01), change_share),
    Benchmark("dataplane.change_barrier_ms", Target("<=", 10.0, "ms"), change_barrier),
    Benchmark("dataplane.restart_s", Target("<=", 1.0, "s"), restart_seconds),
    Benchmark("dataplane.restart_flow_mods", Target("==", 0.0), restart_flow_mods),
    Benchmark("dataplane.counters_vs_ryu", Target(">=", 15.0), read_counters),
)

"""Everything that reads bytes from outside, with valid examples, and ways to damage those.

A parser may refuse with the errors that it documents, and nothing else. Bytes come from switches
and hosts, from recordings and feeds, from policy authors and from whoever can write to a state
directory.
"""

from __future__ import annotations

import io
import json
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from detection.detector import Detector
from policies.compiler.switches_file import read_switches
from policies.language.errors import PolicyError, render
from policies.language.reader import read_policy
from policies.language.sources import CopiedSources
from policies.model import FEED_FORMATS
from policies.rules.layout import Reason
from response.audit import checkpoints
from response.decisions.bandit import ActionLearner
from response.feeds.entries import FeedError
from response.feeds.read import read_feed
from response.ipc import messages as m
from response.ipc.framing import Decoder, FramingError, encode
from ryu_apps.core import ERROR, FLOW_REMOVED, MULTIPART, PACKET_IN
from ryu_apps.openflow import messages
from ryu_apps.openflow.dhcp import read_assignment
from ryu_apps.openflow.dhcp_clients import read_client_message
from ryu_apps.openflow.discovery_frames import DiscoveryFrame, lldp_frame, read_lldp
from ryu_apps.openflow.ethernet import read_frame
from ryu_apps.openflow.reported_ports import ReportedPorts
from tests.support.captured_packets import ethernet, icmp, tcp, udp
from tests.support.controller_rig import Rig, arp
from tests.support.dhcp_frames import acknowledgement, asking, releasing_six, reply, wants
from tests.support.fake_switch import PORTS, FakeSwitch
from tests.support.flow_export_packets import Direction, ipfix, version_5, version_9
from tests.support.recordings import FORMS, spoken
from topology.flow_exports.exporter import BadExport, Exporter
from topology.ports import is_port
from topology.readers.reader import RecordReader
from topology.readers.row_count import TrafficError
from topology.records import Binding, FlowRecord

HANG = 5.0  # seconds that one input may take
RENEW = 20_000  # rounds after which a parser with a memory starts anew
POLICY = """apiVersion: septum/v1
kind: SegmentPolicy
hosts: {web1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1}}
segments: {web: {members: [{cidr: 10.0.0.0/24}, {host: web1}], mode: enforce}}
intents: [{name: one, from: any, to: web, services: [tcp/80-90, icmp], action: allow}]
defaults: {action: deny, mode: enforce}
adaptive: {actions: [alert, quarantine], max_hosts: 2, ttl: 15m}
tests: [{from: 10.0.0.9, to: web1, service: tcp/80, expect: allow}]
"""
INVENTORY = "name,ip,mac,switch,port,labels\nweb1,10.0.0.1,02:00:00:00:00:01,1,1,role=web\n"
SWITCHES = "default: {kind: stateful}\nswitches: {2: {kind: stateless}}\nlinks: ['1:3=2:4']\n"
FEEDS = {
    "cidr-list": "# a list\n198.51.100.0/24\n203.0.113.7 ; SBL1\n2001:db8::/32\n",
    "csv": 'first_seen,ip,confidence\n"2026-01-01",198.51.100.7,90\n"2026-01-02",203.0.113.9,10\n',
    "json": '{"cidr": "198.51.100.0/24", "sblid": "SBL1"}\n{"cidr": "203.0.113.0/24"}\n',
    "stix2": json.dumps(
        {"type": "bundle", "id": "bundle--1", "objects": [
            {"type": "indicator", "id": "indicator--1", "pattern_type": "stix",
             "pattern": "[ipv4-addr:value = '198.51.100.7'] OR [ipv4-addr:value ISSUBSET "
             "'203.0.113.0/24']", "valid_from": "2026-01-01T00:00:00Z", "confidence": 80}]}
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parser:
    """``make`` gives a fresh function that reads one input; ``refusals`` are what it may raise;
    ``rounds`` is its share of a whole run."""

    name: str
    seeds: Sequence[bytes]
    make: Callable[[], Callable[[bytes], object]]
    refusals: tuple[type[Exception], ...]
    rounds: int


@dataclass(slots=True)
class FuzzResult:
    """``faults`` are texts of undocumented exceptions and of inputs that took too long."""

    rounds: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


class Hang(Exception):
    """An input took longer than `HANG`."""


def fuzz(parser: Parser, rounds: int, seed: int, until: float = float("inf")) -> FuzzResult:
    """Read damaged inputs, ``rounds`` of them or until ``until`` (monotonic seconds)."""
    rng = random.Random(f"{parser.name} {seed}")
    found = FuzzResult()
    read = parser.make()
    with _watched():
        for number in range(rounds):
            if number % RENEW == RENEW - 1:
                read = parser.make()
            if number % 64 == 0 and time.monotonic() > until:
                break
            data = damaged(rng, parser.seeds)
            signal.setitimer(signal.ITIMER_REAL, HANG)
            try:
                read(data)
            except parser.refusals:
                found.refused += 1
            except Exception as error:  # whatever else it raises is what is looked for
                found.faults.append(f"{parser.name}: {type(error).__name__}: {error} on {data!r}")
                read = parser.make()
            found.rounds += 1
    return found


@contextmanager
def _watched() -> Iterator[None]:
    def hung(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {HANG:g} s")

    before = signal.signal(signal.SIGALRM, hung)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_ODD = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff",
        b"\x80\0\0\0", b"'", b'"', b"\n", b"[", b"{", b":", b",", b"-1", b"1e999", b"NaN",
        b"\xe2\x80\xae", b"9" * 30, b"\x1b[2J")  # fmt: skip


def damaged(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the valid inputs, changed in one to four ways."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        change = rng.randrange(6)
        if change == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif change == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif change == 2:
            odd = rng.choice(_ODD)
            data[at : at + rng.choice((0, len(odd)))] = odd
        elif change == 3:
            del data[at : at + rng.randrange(1, 20)]
        elif change == 4:
            data[at:at] = data[at : at + rng.randrange(1, 40)] * rng.randrange(1, 4)
        else:
            other = rng.choice(seeds)
            data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data[:70_000])


def parsers() -> tuple[Parser, ...]:
    """All of them; their rounds come to a million and a bit."""
    recordings = tuple(
        Parser(f"recording: {name}", [write(spoken(seed), random.Random(seed))
               for seed in range(8)], lambda: _recording, (TrafficError,), 10_000)
        for name, write in FORMS.items()
    )  # fmt: skip
    feeds = tuple(
        Parser(f"feed: {form}", [FEEDS[form].encode()], _feed_of(form), (FeedError,), 30_000)
        for form in FEED_FORMATS
    )
    learned = Detector(seed=1)
    for number in range(50):
        learned.step(FlowRecord(float(number), "10.0.0.1", f"10.0.0.{number}", "tcp", 4000, 22))
    return (
        Parser("switch", _switch_messages(), _switch, (), 200_000),
        Parser("ports of a switch", [_ports()], lambda: _reported, (), 50_000),
        Parser("frame", _frames(), lambda: _frame, (), 350_000),
        Parser("message", _ipc(), lambda: _message, (FramingError,), 200_000),
        Parser("flow export", _exports(), _exporter, (BadExport,), 50_000),
        *recordings,
        *feeds,
        Parser("checkpoint", [_CHECKPOINT], lambda: _checkpoint, (ValueError,), 50_000),
        Parser("policy", [POLICY.encode()], lambda: _policy, (), 10_000),
        Parser("inventory", [INVENTORY.encode()], lambda: _inventory, (), 10_000),
        Parser("switches file", [SWITCHES.encode()], lambda: _switches, (PolicyError,), 10_000),
        Parser("detector", [learned.snapshot()], lambda: Detector.restore, (ValueError,), 5_000),
        Parser("action learner", [ActionLearner(1).snapshot()], lambda: ActionLearner.restore,
               (ValueError,), 5_000),
    )  # fmt: skip


# -- what switches and hosts send -----------------------------------------------


def _frames() -> list[bytes]:
    return [
        arp("02:00:00:00:00:01", "10.0.0.1", "10.0.0.2"),
        ethernet(tcp("10.0.0.1", "10.0.0.2", 40_000, 22, 2)),
        ethernet(udp("fd00::1", "fd00::2", 40_000, 53), tags=(0x8100,)),
        ethernet(icmp("fd00::1", "fd00::2", 135, 0, inner=bytes(24))),
        acknowledgement(),
        reply(),
        asking(3, "02:00:00:00:00:03", options=wants("10.0.0.9")),
        releasing_six("02:00:00:00:00:03", "fd00::9"),
        lldp_frame(DiscoveryFrame(1, 2, b"nonce678", 1e9), bytes(6), b"secret"),
    ]


def _frame(data: bytes) -> None:
    read_frame(data)
    read_assignment(data)
    read_client_message(data)
    read_lldp(data, b"secret")


def _switch_messages() -> list[bytes]:
    """A byte for the kind of message, then the message, as a connected switch sends them."""
    sent: list[bytes] = []
    rig = _connected()
    heard = rig.core.message

    def hear(switch: int, kind: int, xid: int, buf: bytes, now: float) -> object:
        sent.append(bytes([kind]) + buf)
        return heard(switch, kind, xid, buf, now)

    rig.core.message = hear  # type: ignore[method-assign,assignment]
    for reason in Reason:
        for frame in _frames():
            rig.packet(1, reason, frame, 3)
    rig.carry_out(rig.core.check(rig.now))
    rig.carry_out(rig.core.read_counters())
    kinds = (ERROR, FLOW_REMOVED, MULTIPART, messages.EXPERIMENTER)
    return [*sent, *(bytes([kind]) + messages.message(kind, 1, bytes(64)) for kind in kinds)]


def _connected() -> Rig:
    rig = Rig()
    rig.connect(1)
    rig.connect(2)
    return rig


def _ports() -> bytes:
    """A port description as a switch sends it, as a multipart reply."""
    (reply,) = FakeSwitch(1).answer(messages.multipart(1, PORTS))
    return reply[2]


def _reported(data: bytes) -> None:
    reported = ReportedPorts()
    reported.describe(data)
    assert all(map(is_port, reported.macs)) and all(map(str.isprintable, reported.texts()))


def _switch() -> Callable[[bytes], object]:
    rig = _connected()

    def read(data: bytes) -> None:
        if len(data) < 9:
            return
        rig.now += 0.001
        kind, buf = data[0] if data[0] < 30 else PACKET_IN, data[1:]
        before = rig.core.malformed
        rig.effects.clear()
        rig.carry_out(rig.core.message(1, kind, int.from_bytes(buf[4:8], "big"), buf, rig.now))
        assert rig.core.malformed - before in (0, 1)

    return read


# -- between processes, and what is kept ------------------------------------------


def _ipc() -> list[bytes]:
    record = FlowRecord(1.0, "10.0.0.1", "10.0.0.2", "tcp", 40_000, 22, phase="start")
    bound = Binding("02:00:00:00:00:01", "10.0.0.1", 1, 1, "web1")
    sent = (
        m.RecordsSeen((record, record), 3),
        m.HostsChanged((bound,)),
        m.Ask("hold", "", "ana", "a note"),
        m.Answer(True, "done"),
        m.OwnAddresses(("10.0.0.1",)),
    )
    return [encode(message) for message in sent]


def _message(data: bytes) -> None:
    Decoder().feed(data)


_CHECKPOINT = json.dumps(
    {"number": 1, "ts": 1.0, "record": "r", "seq": 3, "hash": "ab" * 32, "key": "cd" * 32,
     "signature": "ef" * 64}
).encode()  # fmt: skip


def _checkpoint(data: bytes) -> None:
    checkpoints.read(data.decode("utf-8", "surrogateescape"))


def _exports() -> list[bytes]:
    rows = [Direction("10.0.0.1", "10.0.0.2"), Direction("10.0.0.2", "10.0.0.1", sport=22)]
    six = [Direction("fd00::1", "fd00::2", proto=58)]
    return [version_5(rows), version_9(rows + six), ipfix(rows + six)]


def _exporter() -> Callable[[bytes], object]:
    return Exporter("192.0.2.1").read


# -- what people write, record and publish ----------------------------------------


def _recording(data: bytes) -> None:
    for _ in RecordReader("-", stdin=io.BytesIO(data)):
        pass


def _feed_of(form: str) -> Callable[[], Callable[[bytes], object]]:
    return lambda: lambda data: read_feed(data, form)


def _policy(data: bytes, name: str = "p.yaml") -> None:
    texts = {"p.yaml": POLICY + "include: [hosts.csv]\n", "hosts.csv": INVENTORY}
    texts[name] = data.decode("utf-8", "replace")
    result = read_policy(["p.yaml"], CopiedSources(texts))
    for diagnostic in result.diagnostics:
        render(diagnostic, result.texts)


def _inventory(data: bytes) -> None:
    _policy(data, "hosts.csv")


def _switches(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".yaml", dir="/dev/shm") as file:
        file.write(data)
        file.flush()
        read_switches(Path(file.name))

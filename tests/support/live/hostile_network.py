"""A rogue switch and three hostile hosts in one network: what they reach, and what is reported.

Every hostile frame carries a mark in its payload or comes from a hostile MAC, so whatever arrives
at a host that policy keeps from them is seen, whoever it claims to be from.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.openflow_load import LoadSwitch, packet_in
from console.clients.controller import ask_controller
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.lab import Lab, RunningHost
from mininet_tests.traffic.flood import checksum
from policies.rules import layout
from policies.rules.layout import Reason
from policies.rules.rule import Field
from response.state.interfaces import FlowFilter
from response.state.store import Store
from ryu_apps.openflow.encode import field_bytes
from tests.support.dhcp_frames import asking, wants
from tests.support.live.frames import RAW, catch, caught
from topology.records import Link

LINKS = (Link(1, 9, 2, 9),)
PINNED = 'links: ["1:9=2:9"]\n'
SERVERS, CLIENT = ("web", "db"), "pc"
FLOOD = str(Path(TALK).with_name("flood.py"))
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: hostile}
hosts:
  web: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1}
  db: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 2, port: 1, serves: [dhcp]}
  pc: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 1, port: 2}
  bad1: {mac: "02:00:00:00:00:b1", ip: [10.0.1.1], switch: 1, port: 3}
  bad2: {mac: "02:00:00:00:00:b2", ip: [10.0.1.2], switch: 1, port: 4}
  bad3: {mac: "02:00:00:00:00:b3", ip: [10.0.1.3], switch: 2, port: 3}
segments:
  servers: {members: [{host: web}, {host: db}], mode: enforce}
  clients: {members: [{host: pc}], mode: enforce}
  guests: {members: [{cidr: 10.0.1.0/24}], mode: enforce, adapt: auto}
intents:
  - {name: browse, from: clients, to: servers, services: [tcp/80]}
defaults: {action: deny, mode: enforce}
adaptive:
  actions: [alert, rate_limit, quarantine]
  max_hosts: 2
  ttl: 10m
  protected: [{host: web}, {host: db}, {host: pc}]
"""
KNOWN = "\n".join(line for line in POLICY.splitlines() if not line.startswith("  bad"))
MARK = "c0ffee" * 8
HOSTILE_MACS = tuple(f"0200000000b{number}" for number in (1, 2, 3))
IP_TYPES = ("0800", "86dd")
ROGUE = 66  # datapath id of the rogue switch
# Sends the frames that it reads, over and over, for some seconds.
SAYING = """
import socket, sys, time
frames = [bytes.fromhex(line) for line in open(sys.argv[2])]
until = time.monotonic() + float(sys.argv[1])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    while time.monotonic() < until:
        for frame in frames:
            wire.send(frame)
        time.sleep(0.05)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``leaked`` are the hostile frames with a packet that arrived where policy denies them;
    ``asked`` and ``opened`` the connections of an honest client meanwhile; ``held`` the targets of
    decisions; ``unreported`` what is missing of what must be."""

    leaked: tuple[str, ...]
    asked: int
    opened: int
    held: tuple[str, ...]
    unreported: tuple[str, ...]


def udp(mac: str, source: str, target_mac: str, target: str) -> str:
    """A marked datagram."""
    ends = "".join(f"{int(part):02x}" for ip in (source, target) for part in ip.split("."))
    size = len(MARK) // 2
    head = f"4500{28 + size:04x}0000000040110000{ends}"
    right = head[:20] + f"{checksum(bytes.fromhex(head)):04x}" + head[24:]  # or it is invalid
    return target_mac + mac + "0800" + right + f"9c400050{8 + size:04x}0000" + MARK


def arp(mac: str, address: str, target: str) -> str:
    """A request in the name of an address."""
    own, other = ("".join(f"{int(part):02x}" for part in ip.split(".")) for ip in (address, target))
    return "f" * 12 + mac + "0806000108000604" + "0001" + mac + own + "0" * 12 + other


def spoofing() -> Iterator[str]:
    """In the name of the client and of a server; DHCP in another's name."""
    web, db, pc, bad = "020000000001", "020000000002", "020000000003", HOSTILE_MACS[0]
    yield udp(pc, "10.0.0.3", web, "10.0.0.1")
    yield udp(bad, "10.0.0.3", web, "10.0.0.1")
    yield udp(pc, "10.0.0.3", db, "10.0.0.2")
    yield udp(web, "10.0.0.1", db, "10.0.0.2")
    yield udp(bad, "10.0.1.1", db, "10.0.0.2")
    yield udp(bad, "10.0.1.1", pc, "10.0.0.3")
    yield arp(bad, "10.0.0.1", "10.0.0.3")
    own, other = "02:00:00:00:00:b1", "02:00:00:00:00:03"
    marked = b"\x3c" + bytes([len(MARK) // 2]) + bytes.fromhex(MARK)
    yield asking(7, own, chaddr=other, ciaddr="10.0.0.3", source="10.0.1.1", options=marked).hex()
    yield asking(7, own, ciaddr="10.0.0.3", source="10.0.1.1", options=marked).hex()
    yield asking(3, own, options=wants("10.0.0.3") + marked).hex()


def hopping() -> Iterator[str]:
    """Two hundred identities on one port, each of which sends to everybody."""
    for number in range(200):
        mac, address = f"0200000001{number:02x}", f"10.0.1.{50 + number}"
        yield arp(mac, address, "10.0.0.1")
        for target, ip in (("020000000001", "10.0.0.1"), ("020000000002", "10.0.0.2")):
            yield udp(mac, address, target, ip)


def repeating(
    host: RunningHost, frames: Iterator[str], seconds: float, place: Path
) -> subprocess.Popen[str]:
    """Have a host send frames over and over; ``place`` is a folder for their file."""
    listed = place / f"{host.name}.frames"
    listed.write_text("\n".join(frames))
    return host.start([sys.executable, "-c", SAYING, str(seconds), str(listed)])


def relaying(lab: Lab, seconds: float, place: Path) -> subprocess.Popen[str]:
    """A host sends discovery frames again that passed on the cable between the real switches."""
    heard = subprocess.run(
        [sys.executable, RAW, "catch", lab.port(1, 9), "3.5", "lldp"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout.split()
    assert heard, "discovery frames pass on the cable"
    # And in its own name to a server, as no other does: the rogue switch claims the first host.
    own = udp(HOSTILE_MACS[1], "10.0.1.2", "020000000002", "10.0.0.2")
    return repeating(lab.host("bad2"), iter((own, *heard)), seconds, place)


class RogueSwitch(Thread):
    """Two connections: one that names a real switch's id, and one of its own that claims hosts."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.over, self.refused = port, Event(), 0

    def run(self) -> None:
        own = LoadSwitch(("127.0.0.1", self.port), dpid=ROGUE)
        own.connect()
        fields = b"".join(
            field_bytes(each)
            for each in (
                Field("in_port", 1),
                Field(layout.REASON.field, Reason.GUARD << layout.REASON.low),
            )
        )
        lies = [bytes.fromhex(each) for each in spoofing()]
        try:
            own.settle(1.0)
            while not self.over.is_set():
                own.offer([packet_in(fields, frame) for frame in lies], 100.0)
                self._as_another()
        except OSError:
            self.refused += 1
        finally:
            own.close()

    def _as_another(self) -> None:
        false = LoadSwitch(("127.0.0.1", self.port), dpid=1)
        false.connect()
        try:
            false.wait(self.over.is_set, 3.0)
        except OSError:
            self.refused += 1
        finally:
            false.close()


def attacked(lab: Lab, controller: Controller, seconds: float) -> Outcome:
    """Let all of them work at once for some seconds; stops the controller at the end."""
    state = controller.options.state
    for name, address in (("web", "10.0.0.1"), ("db", "10.0.0.2")):
        lab.host(name).start([sys.executable, TALK, "answer", address, "80"])
    time.sleep(0.5)
    watched = {name: catch(lab.host(name), seconds + 8, "all") for name in (*SERVERS, CLIENT)}
    rogue = RogueSwitch(controller.options.of_port)
    rogue.start()
    place = state.parent
    attacks = [
        relaying(lab, seconds, place),
        repeating(lab.host("bad1"), spoofing(), seconds, place),
    ]
    honest = lab.host(CLIENT).start(
        [sys.executable, TALK, "knock", "10.0.0.2", "80", str(seconds)], stdout=subprocess.PIPE
    )
    attacks.append(repeating(lab.host("bad3"), hopping(), seconds / 2, place))
    time.sleep(seconds / 2)
    flood = ["02:00:00:00:00:b3", "02:00:00:00:00:02", "10.0.1.3", "10.0.0.2", "100000"]
    words = [sys.executable, FLOOD, *flood, str(seconds / 2), "2000"]
    attacks.append(lab.host("bad3").start(words))
    counts = json.loads(honest.communicate(timeout=seconds + 30)[0])
    for each in attacks:
        each.wait(timeout=seconds + 30)
    rogue.over.set()
    rogue.join(10)
    frames = [frame for each in watched.values() for frame in caught(each)]
    status = ask_controller(state, {"do": "status"})
    controller.stop()
    store = Store.open(state, time.time())
    audit = [(each.kind, str(each.values())) for each in store.audit_entries()]
    held = tuple(sorted({each.target for each in store.decisions()}))
    alerts = str(store.alerts())
    denied = bool(store.flows(FlowFilter(verdict="deny"), 1))
    store.close()
    return Outcome(
        tuple(each for each in frames if is_hostile(each)),
        counts["tried"],
        counts["opened"],
        held,
        tuple(missing(status, audit, alerts, denied)),
    )


def is_hostile(frame: str) -> bool:
    """Whether a caught frame is a packet of a hostile host; requests for addresses may pass."""
    neighbour = frame[24:28] == "86dd" and frame[40:42] == "3a" and frame[108:110] in ("87", "88")
    if frame[24:28] not in IP_TYPES or neighbour:
        return False
    sender = frame[12:24]
    return MARK in frame or sender in HOSTILE_MACS or sender.startswith("0200000001")


def missing(
    status: dict[str, Any], audit: list[tuple[str, str]], alerts: str, denied: bool
) -> Iterator[str]:
    """What is not reported, or is not as it was."""
    spoofs = [text for kind, text in audit if kind == "spoof"]
    switches = [text for kind, text in audit if kind == "switch"]
    trunks = {each["switch"]: each["trunks"] for each in status["switches"]}
    found = {
        "packets in a client's name": any("10.0.0.3" in text for text in spoofs),
        "packets in a server's name": any("10.0.0.1" in text for text in spoofs),
        "DHCP in another's name": any("DHCP" in text for text in spoofs),
        "an alert about a port that spoofs": "port-spoofing" in alerts,
        "hosts that were found": any(kind == "host" for kind, _ in audit),
        "discovery frames sent again": status["lost"]["stale_lldp"] > 0,
        "a second connection with a known id": any("refused-connection" in t for t in switches),
        "a switch that nobody knows": any(f"'switch': {ROGUE}" in text for text in switches),
        "connections that were denied": denied,
        "the trunks are those that were": trunks.get(1) == [9] and trunks.get(2) == [9],
        "nobody's switch has no trunks": not trunks.get(ROGUE),
    }
    return (name for name, there in found.items() if not there)

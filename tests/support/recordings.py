"""The same connections, written as every kind of recording that is read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.support.captured_packets import ethernet, icmp, pcap, pcapng, tcp, udp
from topology.readers.packets import ACK, FIN, SYN

START = 1_700_000_000.0
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}


@dataclass(frozen=True)
class Spoken:
    """A connection that both ends took part in; for a ping the ports are 0."""

    ts: float
    src: str
    dst: str
    proto: str
    sport: int
    dport: int

    @property
    def ping(self) -> bool:
        return self.proto.startswith("icmp")

    @property
    def number(self) -> int:
        """Of the protocol."""
        return _PROTOCOLS[self.proto]

    @property
    def types(self) -> tuple[int, int]:
        """Type of the request and of the answer."""
        return (8, 0) if self.proto == "icmp" else (128, 129)


def spoken(seed: int, most: int = 12) -> list[Spoken]:
    """Connections in the order in which they began, each with ports of its own."""
    rng = random.Random(seed)
    found: list[Spoken] = []
    for number in range(rng.randint(1, most)):
        six = rng.random() < 0.3
        a, b = rng.sample(range(1, 6), 2)
        src, dst = (f"fd00::{a}", f"fd00::{b}") if six else (f"10.0.0.{a}", f"10.0.0.{b}")
        proto = rng.choice(("tcp", "udp", "icmpv6" if six else "icmp"))
        sport, dport = 40_000 + number, rng.choice((22, 53, 443, 5432, 8080, 47_000))
        if proto.startswith("icmp"):
            if any((each.src, each.dst) in ((src, dst), (dst, src)) for each in found):
                continue  # two pings between the same hosts cannot be told apart in a log
            sport = dport = 0
        found.append(Spoken(START + number * 2, src, dst, proto, sport, dport))
    return found


def contract_csv(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    header = "ts,duration,src_ip,dst_ip,proto,src_port,dst_port,packets_out,packets_in,state\n"
    rows = []
    for each in connections:
        sport, dport = (each.types[0], 0) if each.ping else (each.sport, each.dport)
        rows.append(
            f"{each.ts},1,{each.src},{each.dst},{each.proto},{sport},{dport},4,3,established"
        )
    return (header + "\n".join(rows) + "\n").encode()


def contract_json(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    text = contract_csv(connections, rng).decode().splitlines()
    names = text[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in text[1:]]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _zeek_rows(connections: Sequence[Spoken], rng: random.Random) -> list[dict[str, object]]:
    """Some rows from the middle of a connection or with the answer first, as Zeek writes them."""
    rows = []
    for each in connections:
        sport, dport = each.types if each.ping else (each.sport, each.dport)
        ends = (each.src, sport, each.dst, dport)
        history, state = ("ShADadFf", "SF") if each.proto == "tcp" else ("Dd", "SF")
        known = each.proto == "tcp" and each.dport < 32_768
        if rng.random() < 0.3 and (known or each.ping):
            ends = (each.dst, dport, each.src, sport)
            history, state = "DadA", "OTH"
        rows.append(
            {
                "ts": each.ts, "uid": "C1", "id.orig_h": ends[0], "id.orig_p": ends[1],
                "id.resp_h": ends[2], "id.resp_p": ends[3], "history": history,
                "proto": "icmp" if each.ping else each.proto, "duration": 1.0,
                "conn_state": state, "orig_pkts": 4, "resp_pkts": 3,
            }
        )  # fmt: skip
    return rows


def zeek_json(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    rows = _zeek_rows(connections, rng)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def zeek_tsv(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    rows = _zeek_rows(connections, rng)
    lines = ["#separator \\x09", "#fields\t" + "\t".join(rows[0])]
    lines += ["\t".join(str(value) for value in row.values()) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def nfdump(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    """A row for each direction, in any order, as exporters write them when flows end."""
    rows = []
    for each in connections:
        ask, answer = each.types if each.ping else (0, 0)
        there = (each.src, 0 if each.ping else each.sport, each.dst, ask * 256 or each.dport)
        back = (each.dst, 0 if each.ping else each.dport, each.src, answer * 256 or each.sport)
        proto = {"icmpv6": "ICMP6"}.get(each.proto, each.proto.upper())
        for late, (src, sport, dst, dport) in ((0.0, there), (0.003, back)):
            moment = datetime.fromtimestamp(each.ts + late, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            rows.append(f"{moment[:-3]},1.0,{proto},{src},{sport},{dst},{dport},4,300,1")
    rng.shuffle(rows)
    header = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"
    return ("\n".join([header, *rows]) + "\n").encode()


def suricata(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    events: list[dict[str, object]] = []
    for each in connections:
        moment = datetime.fromtimestamp(each.ts, UTC).isoformat()
        ports = (
            {"icmp_type": each.types[0], "icmp_code": 0}
            if each.ping
            else {"src_port": each.sport, "dest_port": each.dport}
        )
        proto = {"icmpv6": "IPv6-ICMP"}.get(each.proto, each.proto.upper())
        flow = {"start": moment, "end": moment, "pkts_toserver": 4, "pkts_toclient": 3}
        ends = {"src_ip": each.src, "dest_ip": each.dst, "proto": proto, **ports}
        events.append({"timestamp": moment, "event_type": "dns", "src_ip": each.src})
        events.append({"timestamp": moment, "event_type": "flow", **ends, "flow": flow})
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def _packets(connections: Sequence[Spoken]) -> list[tuple[float, bytes]]:
    packets = []
    for each in connections:
        there, back = (each.src, each.dst), (each.dst, each.src)
        out, home = (each.sport, each.dport), (each.dport, each.sport)
        if each.ping:
            frames = [icmp(*there, each.types[0], 0), icmp(*back, each.types[1], 0)]
        elif each.proto == "udp":
            frames = [udp(*there, *out), udp(*back, *home)]
        else:
            frames = [
                tcp(*there, *out, SYN),
                tcp(*back, *home, SYN | ACK),
                tcp(*there, *out, ACK, 5),
                tcp(*there, *out, FIN | ACK),
                tcp(*back, *home, FIN | ACK),
                tcp(*there, *out, ACK),
            ]
        packets += [(each.ts + at / 100, ethernet(frame)) for at, frame in enumerate(frames)]
    return packets


def as_pcap(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    return pcap(_packets(connections), nano=rng.random() < 0.5)


def as_pcapng(connections: Sequence[Spoken], rng: random.Random) -> bytes:
    return pcapng(_packets(connections))


FORMS: dict[str, Callable[[Sequence[Spoken], random.Random], bytes]] = {
    "contract CSV": contract_csv,
    "contract JSON": contract_json,
    "Zeek": zeek_tsv,
    "Zeek JSON": zeek_json,
    "nfdump": nfdump,
    "Suricata": suricata,
    "pcap": as_pcap,
    "pcapng": as_pcapng,
}

"""Traffic of a small office in four segments, as records: the benign day and what goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from topology.records import FlowRecord

T0 = 1_700_000_000.0
CLIENTS = tuple(f"10.1.1.{i}" for i in range(1, 4))
WEB = tuple(f"10.1.2.{i}" for i in range(1, 4))
APP = tuple(f"10.1.3.{i}" for i in range(1, 4))
DB = ("10.1.4.1", "10.1.4.2")
DNS, BACKUP, OPS = "10.1.5.1", "10.1.5.2", "10.1.5.3"
SERVERS = (*WEB, *APP, *DB)
HOSTS = (*CLIENTS, *SERVERS, DNS, BACKUP, OPS)


def start(ts: float, src: str, dst: str, port: int, proto: str = "tcp") -> FlowRecord:
    return FlowRecord(
        ts=ts, src_ip=src, dst_ip=dst, proto=proto, src_port=40_000, dst_port=port,
        phase="start", verdict="allow",
    )  # fmt: skip


def end(ts: float, src: str, dst: str, port: int, proto: str = "tcp") -> FlowRecord:
    return FlowRecord(
        ts=ts, src_ip=src, dst_ip=dst, proto=proto, src_port=40_000, dst_port=port,
        phase="end", verdict="allow", state="established", bytes_out=600, bytes_in=4_000,
    )  # fmt: skip


def denied(ts: float, src: str, dst: str, port: int) -> FlowRecord:
    return FlowRecord(
        ts=ts, src_ip=src, dst_ip=dst, proto="tcp", src_port=40_000, dst_port=port,
        phase="start", verdict="deny", state="denied",
    )  # fmt: skip


def nobody(ts: float, src: str, dst: str) -> FlowRecord:
    """An address request that nobody answered."""
    return FlowRecord(ts=ts, src_ip=src, dst_ip=dst, proto="arp", phase="start", state="unanswered")


def benign(seed: int, seconds: float, begin: float = T0) -> list[FlowRecord]:
    """Clients at work, a backup and an operator who visit everybody in quick succession, a server
    that deploys by ssh, stray refusals with retries. In time order; ends follow their starts.
    """
    rng = random.Random(seed)
    timed: list[tuple[float, FlowRecord]] = []

    def connect(ts: float, src: str, dst: str, port: int, proto: str = "tcp") -> None:
        timed.append((ts, start(ts, src, dst, port, proto)))
        timed.append((ts + rng.uniform(0.1, 8.0), end(ts, src, dst, port, proto)))

    def poisson(mean: float) -> Iterable[float]:
        ts = rng.expovariate(1 / mean)
        while ts < seconds:
            yield begin + ts
            ts += rng.expovariate(1 / mean)

    for client in CLIENTS:
        for ts in poisson(1.5):
            connect(ts, client, DNS, 53, "udp")
            connect(ts + 0.01, client, rng.choice(WEB), 80)
    for web in WEB:
        for ts in poisson(2.0):
            connect(ts, web, rng.choice(APP), 8080)
    for app in APP:
        for ts in poisson(1.8):
            connect(ts, app, rng.choice(DB), rng.choice((5432, 6379)))
    for ts in poisson(9.0):
        connect(ts, WEB[1], rng.choice(APP), 22)
    for visitor, port, gap in ((BACKUP, 873, 0.05), (OPS, 22, 0.3)):
        first = begin + rng.uniform(0.0, seconds / 2)
        for i, host in enumerate(rng.sample(HOSTS, len(HOSTS))):
            if host != visitor:
                connect(first + i * gap, visitor, host, port)
    for _ in range(3):
        src, dst = rng.sample(HOSTS, 2)
        at = begin + rng.uniform(0.0, seconds)
        port = rng.choice((25, 443, 8443))
        timed += [(at + i, denied(at + i, src, dst, port)) for i in range(4)]
    src = rng.choice(HOSTS)
    gone = begin + rng.uniform(0.0, seconds)
    timed += [(gone + i, nobody(gone + i, src, "10.1.9.9")) for i in range(3)]
    return [record for _, record in sorted(timed, key=lambda pair: pair[0])]


def sweep(
    begin: float, src: str, addresses: Sequence[str], ports: Sequence[int], rate: float = 100.0
) -> list[FlowRecord]:
    """As nmap does it: hosts that exist are probed and refused, the others asked for in vain."""
    records = []
    ts = begin
    for address in addresses:
        if address == src:
            continue
        if address in HOSTS:
            for port in ports:
                records.append(denied(ts, src, address, port))
                ts += 1.0 / rate
        else:
            records.append(nobody(ts, src, address))
            ts += 1.0 / rate
    return records

"""Beacons and volume to outside peers: what is found, and what is regular without being one."""

from __future__ import annotations

import random
from functools import cache

import pytest
from msgspec.structs import replace

from detection.alert import Alert
from detection.detector import Detector
from detection.features.beaconing import BeaconTiming
from tests.support.traffic.office import CLIENTS, OPS, SERVERS, T0, WEB, end
from topology.records import FlowRecord

BEGIN = T0 + 10_800.0


@cache
def watched() -> bytes:
    """An office that works with its own servers and with the web."""
    detector = Detector()
    for record in office():
        assert detector.step(record).alert is None
    return detector.snapshot()


def office() -> list[FlowRecord]:
    """Three hours of people at work: inside to a few servers, outside to many."""
    rng = random.Random(1)
    hosts = (*CLIENTS, *SERVERS, OPS)
    records = []
    for i in range(4_000):
        ts, host = T0 + rng.uniform(0.0, 10_800.0), rng.choice(hosts)
        inside = replace(web(ts, host, rng.choice(WEB), rng), dst_port=80)
        records.append(inside if i % 2 else web(ts, host, f"93.{i % 200}.18.7", rng))
    return sorted(records, key=lambda r: r.ts)


def web(ts: float, src: str, dst: str, rng: random.Random, sent: int = 0) -> FlowRecord:
    return FlowRecord(
        ts=ts, src_ip=src, dst_ip=dst, proto="tcp", src_port=40_000, dst_port=443, duration=1.0,
        state="established", bytes_out=sent or int(rng.lognormvariate(8.0, 1.0)), bytes_in=9_000,
    )  # fmt: skip


def calls(src: str, dst: str, period: float, jitter: float, n: int, seed: int) -> list[FlowRecord]:
    rng = random.Random(seed)
    records, ts = [], BEGIN
    for _ in range(n):
        records.append(web(ts, src, dst, rng))
        ts += period * rng.uniform(1.0 - jitter, 1.0 + jitter)
    return records


def alerts(records: list[FlowRecord]) -> list[Alert]:
    detector = Detector.restore(watched())
    found = [detector.step(r).alert for r in sorted(records, key=lambda r: r.ts)]
    return [alert for alert in found if alert is not None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("period", "jitter"), [(10.0, 0.0), (60.0, 0.2), (60.0, 0.45), (600.0, 0.3)]
)
def test_a_beacon_is_found_in_spite_of_jitter(period: float, jitter: float, seed: int) -> None:
    (alert,) = alerts(
        calls(CLIENTS[0], "151.101.3.9", period, jitter, max(100, int(2400 / period)), seed)
    )
    assert (alert.host, alert.kind, alert.attack) == (CLIENTS[0], "beacon", "T1071.001")
    assert alert.path[-1].dst == "151.101.3.9"
    assert alert.features[0].feature == "beacon"


def test_what_several_hosts_call_by_the_clock_is_an_update_service() -> None:
    hosts = (*CLIENTS, OPS)
    records = [r for i, h in enumerate(hosts) for r in calls(h, "151.101.3.9", 300.0, 0.02, 40, i)]
    assert not alerts(records)


@pytest.mark.parametrize(("proto", "port"), [("udp", 123), ("udp", 53), ("icmp", 0)])
def test_clocks_names_and_pings_are_no_beacon(proto: str, port: int) -> None:
    records = [
        replace(r, proto=proto, dst_port=port, src_port=8 if proto == "icmp" else 40_000)
        for r in calls(CLIENTS[0], "151.101.3.9", 64.0, 0.0, 80, 1)
    ]
    assert not alerts(records)


def test_monitoring_inside_is_no_beacon() -> None:
    records = [
        replace(r, dst_ip=server, dst_port=80)
        for i, server in enumerate(WEB)
        for r in calls(OPS, server, 30.0, 0.01, 80, i)
    ]
    assert not [a for a in alerts(records) if a.kind == "beacon"]


@pytest.mark.parametrize("seed", range(5))
def test_a_person_who_comes_back_again_and_again_is_no_beacon(seed: int) -> None:
    rng = random.Random(seed)
    records, ts = [], BEGIN
    for _ in range(150):
        ts += rng.expovariate(1.0 / 60.0)
        records.append(web(ts, CLIENTS[0], "151.101.3.9", rng))
    assert not alerts(records)


def test_a_page_left_open_for_minutes_is_no_beacon() -> None:
    assert not alerts(calls(CLIENTS[0], "151.101.3.9", 5.0, 0.05, 300, 1))


def test_what_was_there_from_the_beginning_is_background() -> None:
    detector = Detector()
    old = [replace(r, ts=r.ts - BEGIN + T0) for r in calls(OPS, "151.101.3.9", 30.0, 0.1, 120, 3)]
    for record in sorted((*old, *office()), key=lambda r: r.ts):
        assert detector.step(record).alert is None


def test_a_clock_of_whole_minutes_makes_nothing_regular() -> None:
    timing = BeaconTiming("151.101.3.9", "tcp/443", 0.0)
    for minute in range(1, 200):
        timing.visit(60.0 * minute, 60.0)
    assert timing.now(60.0 * 199) == 0.0


def test_bulk_to_a_peer_that_nobody_knows_is_alerted_as_exfiltration() -> None:
    rng = random.Random(2)
    small = [web(BEGIN + i, CLIENTS[1], f"104.{i}.3.9", rng) for i in range(20)]
    big = web(BEGIN + 60.0, CLIENTS[1], "151.101.3.99", rng, sent=4_000_000_000)
    (alert,) = alerts([*small, big])
    assert (alert.host, alert.kind, alert.attack) == (CLIENTS[1], "volume", "T1048")


def test_bulk_seen_only_at_the_end_of_its_connection_counts_as_well() -> None:
    begun = replace(web(BEGIN, CLIENTS[1], "151.101.3.99", random.Random(2)), phase="start")
    ended = replace(
        end(BEGIN, CLIENTS[1], "151.101.3.99", 443), bytes_out=4_000_000_000, bytes_in=1_000
    )
    (alert,) = alerts([replace(begun, bytes_out=None, bytes_in=None, state=None), ended])
    assert alert.kind == "volume"


def test_a_few_megabytes_are_nothing_where_less_is_usual() -> None:
    rng = random.Random(2)
    assert not alerts([web(BEGIN, CLIENTS[1], "151.101.3.99", rng, sent=8_000_000)])


def test_a_download_is_no_exfiltration() -> None:
    rng = random.Random(2)
    image = replace(web(BEGIN, CLIENTS[1], "151.101.3.99", rng), bytes_in=4_000_000_000)
    assert not alerts([image])

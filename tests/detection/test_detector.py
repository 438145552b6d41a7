"""What the detector must do on the first day: no history, a small network, real mistakes."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.alert import Alert
from detection.detector import Detector, DetectorSettings
from detection.snapshots.detector_snapshot import FORMAT
from tests.support.hostile_pickles import that_touches
from tests.support.traffic.office import (
    APP,
    BACKUP,
    CLIENTS,
    DB,
    DNS,
    HOSTS,
    OPS,
    T0,
    WEB,
    benign,
    denied,
    end,
    nobody,
    start,
    sweep,
)
from topology.records import FlowRecord


def alerts(detector: Detector, records: list[FlowRecord]) -> list[Alert]:
    return [s.alert for s in map(detector.step, records) if s.alert is not None]


@pytest.mark.parametrize("seed", range(24))
def test_a_benign_first_minute_raises_nothing(seed: int) -> None:
    seconds = (15.0, 25.0, 40.0, 90.0)[seed % 4]
    assert alerts(Detector(seed=seed), benign(seed, seconds)) == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("extent", [12, 60, 250])
def test_a_sweep_is_alerted_within_its_first_attempts(seed: int, extent: int) -> None:
    detector = Detector(seed=seed)
    alerts(detector, benign(seed, 20.0))
    rng = random.Random(seed)
    unused = [f"10.1.6.{i}" for i in range(1, extent + 1)]
    targets = rng.sample(unused, extent - 8) + rng.sample(HOSTS, 8)
    rng.shuffle(targets)
    attack = sweep(T0 + 30, WEB[0], targets, (22, 443, 445))
    raised = [scored.alert for scored in map(detector.step, attack[:15])]
    (alert,) = [alert for alert in raised if alert is not None]
    assert (alert.host, alert.kind) == (WEB[0], "scan")
    refused = any(part.feature.startswith("denied") for part in alert.features)
    assert alert.attack == ("T1046" if refused else "T1018")  # services, or only addresses
    assert alert.score > alert.threshold > 0.99


def test_one_peer_probed_on_many_ports_is_a_policy_probe() -> None:
    detector = Detector()
    alerts(detector, benign(1, 20.0))
    (alert,) = alerts(
        detector, [denied(T0 + 30 + i / 50, WEB[0], DB[0], 20 + i) for i in range(30)]
    )
    assert (alert.kind, alert.host) == ("policy-probe", WEB[0])


@pytest.mark.parametrize("seed", range(8))
def test_hops_over_allowed_services_raise_a_lateral_path(seed: int) -> None:
    detector = Detector(seed=seed)
    alerts(detector, benign(seed, 30.0))
    gap = (1.0, 20.0, 90.0, 300.0)[seed % 4]
    hosts = [CLIENTS[0], WEB[0], APP[0], DB[0], BACKUP]
    hops = [
        start(T0 + 40 + i * gap, src, dst, 22)
        for i, (src, dst) in enumerate(zip(hosts, hosts[1:], strict=False))
    ]
    found = alerts(detector, hops)
    assert found
    alert = found[0]
    assert (alert.kind, alert.attack) == ("lateral-path", "T1021.004")
    assert alert.host in hosts[1:4]
    way = [(hop.src, hop.dst) for hop in alert.path]
    assert (hosts[1], hosts[2]) in way
    assert way[-1][0] == alert.host
    assert [hop.ts for hop in alert.path] == sorted(hop.ts for hop in alert.path)


def test_a_scan_that_turns_into_a_path_raises_a_second_alert_elsewhere_or_worse() -> None:
    detector = Detector()
    alerts(detector, benign(3, 30.0))
    probe = alerts(detector, sweep(T0 + 40, WEB[0], HOSTS, (23, 445, 3389)))
    assert [a.kind for a in probe] == ["scan"]
    hops = [start(T0 + 45, WEB[0], APP[0], 22), start(T0 + 46, APP[0], DB[0], 22)]
    (path,) = alerts(detector, hops)
    assert (path.host, path.kind) == (APP[0], "lateral-path")
    assert path.path[-2].src == WEB[0]


def test_escalation_raises_one_more_alert_for_the_same_host_and_no_third() -> None:
    detector = Detector()
    alerts(detector, benign(4, 30.0))
    came = [start(T0 + 40, WEB[2], APP[0], 22)]
    probes = [denied(T0 + 41 + i / 20, APP[0], host, 445) for i, host in enumerate(HOSTS)]
    onward = [start(T0 + 50 + i, APP[0], host, 22) for i, host in enumerate((*DB, *CLIENTS))]
    more = [denied(T0 + 60 + i / 20, APP[0], host, 3389) for i, host in enumerate(HOSTS)]
    found = alerts(detector, [*came, *probes, *onward, *more])
    assert [(a.host, a.kind) for a in found] == [(APP[0], "scan"), (APP[0], "lateral-path")]
    assert found[0].id != found[1].id


def test_records_of_an_episode_carry_its_alert() -> None:
    detector = Detector()
    scored = [
        detector.step(r) for r in sweep(T0, WEB[0], [f"10.1.7.{i}" for i in range(1, 60)], ())
    ]
    raised = next(i for i, s in enumerate(scored) if s.alert is not None)
    alert = scored[raised].alert
    assert alert is not None
    assert {s.alert_id for s in scored[:raised]} == {None}
    assert {s.alert_id for s in scored[raised:]} == {alert.id}
    assert alert.records == tuple(range(raised + 1))
    assert all(s.alert is None for s in scored[raised + 1 :])


def test_a_regular_jump_host_stays_silent() -> None:
    detector = Detector()
    jump = "10.1.5.9"
    found = []
    for minute in range(90):
        user = CLIENTS[minute % 3]
        begin = T0 + minute * 60
        server = HOSTS[minute % 8 + 3]
        found += alerts(detector, [start(begin + i, c, WEB[i], 80) for i, c in enumerate(CLIENTS)])
        found += alerts(
            detector, [start(begin + 55, user, jump, 22), start(begin + 57, jump, server, 22)]
        )
    newcomers = [f"10.1.8.{i}" for i in range(1, 4)]
    begin = T0 + 91 * 60
    found += alerts(detector, [start(begin, CLIENTS[0], jump, 22)])
    found += alerts(detector, [start(begin + 5 + i, jump, n, 22) for i, n in enumerate(newcomers)])
    assert found == []


def test_a_client_of_a_service_since_the_start_goes_on_being_one() -> None:
    detector = Detector()
    found = alerts(detector, benign(5, 30.0))
    for day in range(6):
        begin = T0 + 600 * (day + 1)
        found += alerts(
            detector,
            [start(begin + i * 0.2, OPS, host, 22) for i, host in enumerate(HOSTS) if host != OPS],
        )
        found += alerts(
            detector,
            [start(begin + 9 + i / 50, BACKUP, host, 873) for i, host in enumerate(HOSTS[:11])],
        )
    assert found == []


def test_denials_of_what_was_normal_are_a_policy_change_and_no_probe() -> None:
    detector = Detector()
    alerts(detector, benign(6, 30.0))
    rounds = [start(T0 + 60 + i, OPS, host, 22) for i, host in enumerate(HOSTS[:12])]
    alerts(detector, rounds)
    cut = [denied(T0 + 600 + i / 10, OPS, host, 22) for i, host in enumerate(HOSTS[:12])]
    assert alerts(detector, cut) == []


def test_late_replies_of_a_server_are_no_probes() -> None:
    detector = Detector()
    alerts(detector, [start(T0 + i, f"10.1.1.{i}", WEB[0], 80) for i in range(1, 40)])
    late = [
        FlowRecord(
            ts=T0 + 100 + i,
            src_ip=WEB[0],
            dst_ip=f"10.1.1.{i}",
            proto="tcp",
            src_port=80,
            dst_port=50_000 + i,
            phase="start",
            verdict="deny",
            state="denied",
        )  # fmt: skip
        for i in range(1, 40)
    ]
    assert alerts(detector, late) == []


def test_what_hosts_emit_without_aim_is_no_movement() -> None:
    detector = Detector()
    noise = []
    for i in range(200):
        group = f"ff02::1:ff00:{i:x}"
        noise.append(
            FlowRecord(
                ts=T0 + i,
                src_ip="fe80::1",
                dst_ip=group,
                proto="icmpv6",
                src_port=135,
                phase="start",
                verdict="deny",
                state="denied",
            )  # fmt: skip
        )
        noise.append(denied(T0 + i, WEB[0], f"224.0.0.{i % 250}", 5353))
        noise.append(denied(T0 + i, WEB[0], "10.1.2.255", 137 + i))
    assert alerts(detector, noise) == []
    assert detector.contributions(WEB[0])[0] == 0.0


def test_hosts_that_are_down_are_not_a_sweep() -> None:
    detector = Detector()
    alerts(detector, benign(7, 30.0))
    gone = [nobody(T0 + 60 + i / 10, OPS, host) for i, host in enumerate(HOSTS)]
    assert alerts(detector, gone) == []


def test_a_suspended_host_teaches_nothing_and_peers_do_not_suffer() -> None:
    detector = Detector()
    alerts(detector, benign(8, 30.0))
    detector.suspend(WEB[0])
    learned = detector.health().windows
    for minute in range(1, 8):
        detector.step(start(T0 + 60 * minute, WEB[0], f"10.1.2.{minute + 20}", 22))
    assert detector.health().windows == learned
    assert detector.graph.edge(WEB[0], "10.1.2.21", "tcp/22") is not None
    refused = [denied(T0 + 500 + i, CLIENTS[0], WEB[0], 80 + i) for i in range(20)]
    assert alerts(detector, refused) == []


def test_a_released_host_starts_with_a_clean_record() -> None:
    detector = Detector()
    attack = sweep(T0, WEB[0], [f"10.1.7.{i}" for i in range(1, 30)], ())
    assert len(alerts(detector, attack)) == 1
    detector.suspend(WEB[0])
    detector.resume(WEB[0])
    assert detector.contributions(WEB[0])[0] == 0.0
    assert detector.health().open_episodes == 0
    again = sweep(T0 + 5, WEB[0], [f"10.1.8.{i}" for i in range(1, 30)], ())
    assert len(alerts(detector, again)) == 1


def test_scores_are_the_same_to_the_bit_also_across_a_snapshot() -> None:
    records = benign(9, 200.0) + sweep(T0 + 300, WEB[0], HOSTS, (22, 445))
    one, other = Detector(seed=3), Detector(seed=3)
    first = [one.step(r) for r in records]
    half = len(records) // 2
    second = [other.step(r) for r in records[:half]]
    other = Detector.restore(other.snapshot())
    second += [other.step(r) for r in records[half:]]
    assert first == second
    assert any(s.alert for s in first)


@pytest.mark.parametrize(
    "data", [b"", b"junk", FORMAT.header + b"junk", b"septum-detector-5\njunk"]
)
def test_other_bytes_are_no_snapshot(data: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        Detector.restore(data)


@pytest.mark.threat("stored-code")
@pytest.mark.parametrize("header", [FORMAT.header, b"septum-detector-5\n"])
def test_a_snapshot_cannot_run_anything(header: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    data = zlib.compress(that_touches(mark, "detection.detector", "Detector.step"))
    with pytest.raises(ValueError, match="snapshot"):
        Detector.restore(header + data)
    assert not mark.exists()


ADDRESSES = st.sampled_from([*HOSTS[:6], "10.1.9.1", "10.1.9.2", "8.8.8.8", "fd00::1", "224.0.0.1"])
RECORDS = st.lists(
    st.builds(
        FlowRecord,
        ts=st.floats(T0, T0 + 7200),
        src_ip=ADDRESSES,
        dst_ip=ADDRESSES,
        proto=st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "arp", "ip"]),
        src_port=st.sampled_from([0, 8, 80, 40_000]),
        dst_port=st.sampled_from([22, 80, 445, 3389, 40_000]),
        state=st.sampled_from([None, "established", "rejected", "unanswered", "denied"]),
        phase=st.sampled_from(["whole", "start", "end"]),
        verdict=st.sampled_from([None, "allow", "would-deny", "deny"]),
        packets=st.one_of(st.none(), st.integers(0, 9)),
        bytes=st.one_of(st.none(), st.integers(0, 9000)),
    ),
    max_size=120,
)


@settings(max_examples=40)
@given(RECORDS)
def test_contributions_add_up_and_scores_stay_in_range(records: list[FlowRecord]) -> None:
    detector = Detector()
    for i, record in enumerate(records):
        scored = detector.step(record)
        assert scored.row == i
        assert 0.0 <= scored.score <= 1.0
        raw, parts = detector.contributions(record.src_ip)
        assert abs(raw - sum(parts.values())) < 1e-9
        assert all(part >= 0.0 for part in parts.values())
        if scored.alert is not None:
            total = sum(c.contribution for c in scored.alert.features)
            assert abs(scored.alert.raw - total) < 1e-9
            assert scored.alert.id == scored.alert_id
            assert scored.alert.score <= scored.score


def test_a_higher_raw_score_is_a_higher_score() -> None:
    detector = Detector()
    alerts(detector, benign(10, 120.0))
    scores = [detector.calibration.score(raw / 7) for raw in range(200)]
    assert all(a < b for a, b in zip(scores, scores[1:], strict=False))


def test_memory_is_bounded() -> None:
    detector = Detector(DetectorSettings(max_hosts=100, max_edges=300))
    rng = random.Random(1)
    for i in range(6000):
        src, dst = (
            f"10.{rng.randrange(4)}.{rng.randrange(250)}.{rng.randrange(250)}" for _ in "ab"
        )
        detector.step(start(T0 + i, src, dst, rng.randrange(1, 60_000)))
    health = detector.health()
    assert health.hosts <= 100
    assert health.edges <= 300
    assert health.forgotten_hosts > 5000


@pytest.mark.thorough
def test_one_host_of_many_peers_and_ports_is_bounded_too() -> None:
    detector = Detector()
    small = None
    for i in range(8000):
        detector.step(start(T0 + i / 10, OPS, f"10.{i % 7}.{i // 250}.{i % 250 + 1}", 1 + i % 3000))
        if i == 3999:
            small = len(detector.host_registry.hosts[OPS].uses)
    assert small == len(detector.host_registry.hosts[OPS].uses) <= 128


def test_a_sweep_cannot_raise_the_threshold_by_inventing_hosts() -> None:
    detector = Detector()
    alerts(detector, benign(11, 20.0))
    before = detector.health().threshold
    for i in range(1, 250):
        detector.step(denied(T0 + 30 + i / 100, WEB[0], f"10.1.6.{i}", 22))
    assert detector.health().threshold == before


def test_time_that_runs_backwards_is_survived() -> None:
    detector = Detector()
    for ts in (T0 + 100, T0, T0 + 50, T0 + 101):
        assert 0.0 <= detector.step(start(ts, CLIENTS[0], WEB[0], 80)).score <= 1.0


def test_failures_seen_only_at_the_end_count() -> None:
    detector = Detector()
    alerts(detector, benign(12, 20.0))
    records = []
    for i in range(40):
        ts = T0 + 30 + i / 20
        dst = f"10.1.{2 + i % 3}.{100 + i}"
        records.append(start(ts, DNS, dst, 445))
        done = end(ts, DNS, dst, 445)
        records.append(
            FlowRecord(
                ts=ts,
                src_ip=DNS,
                dst_ip=dst,
                proto="tcp",
                dst_port=445,
                phase="end",
                state="rejected" if i % 2 else "unanswered",
                verdict=done.verdict,
            )  # fmt: skip
        )
    (alert,) = alerts(detector, records)
    assert (alert.host, alert.kind) == (DNS, "scan")
    assert alert.features[0].feature.startswith("failed_pairs")


def test_what_a_policy_declares_is_ours_also_in_public_address_space() -> None:
    def probes(detector: Detector) -> int:
        records = (
            FlowRecord(
                10.0 + n,
                "2a02:1:2:3::66",
                f"2a02:1:2:3::{n + 1:x}",
                "tcp",
                40000 + n,
                22,
                state="denied",
                phase="start",
                verdict="deny",
            )
            for n in range(25)
        )
        return sum(detector.step(record).alert is not None for record in records)

    blind, told = Detector(), Detector()
    told.include(["2a02:1:2:3::/64"])
    assert probes(blind) == 0
    assert probes(told) == 1
    assert probes(Detector.restore(told.snapshot())) == 0, "one episode, still going on"


RETIRED = [f"10.1.7.{i}" for i in range(11, 19)]


def unanswered(ts: float, src: str, dst: str, port: int) -> list[FlowRecord]:
    over = FlowRecord(
        ts=ts, src_ip=src, dst_ip=dst, proto="tcp", src_port=40_000, dst_port=port,
        phase="end", verdict="allow", state="unanswered",
    )  # fmt: skip
    return [start(ts, src, dst, port), over]


@pytest.mark.parametrize("form", ["nobody", "denied", "unanswered"])
@pytest.mark.parametrize("minutes", [0.5, 30.0])
def test_a_stale_list_of_addresses_that_are_gone_is_no_incident(form: str, minutes: float) -> None:
    """A monitor or a load balancer with last year's configuration tries one after the other."""
    detector = Detector()
    alerts(detector, benign(13, 60 * minutes))
    tried = []
    for i, address in enumerate(RETIRED):
        ts = T0 + 60 * minutes + 20 + 8 * i
        if form == "nobody":
            tried += [nobody(ts + j, CLIENTS[0], address) for j in range(3)]
        elif form == "denied":
            tried += [denied(ts + j, CLIENTS[0], address, 80) for j in range(3)]
        else:
            tried += unanswered(ts, CLIENTS[0], address, 80)
    assert alerts(detector, tried) == []
    more = [nobody(T0 + 60 * minutes + 90 + i / 4, CLIENTS[0], f"10.1.6.{i}") for i in range(30)]
    assert [alert.kind for alert in alerts(detector, more)] == ["scan"]

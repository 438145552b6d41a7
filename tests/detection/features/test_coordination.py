"""Many hosts that each do a little, at the same time."""

from __future__ import annotations

import random
from functools import cache

import pytest

from detection.detector import Detector
from detection.features.coordination import FADES, MOST, Coordination
from tests.support.traffic.office import T0, start

STAFF = [f"10.2.1.{i}" for i in range(1, 41)]
DESKS = [f"10.2.2.{i}" for i in range(1, 200)]
FILES = "10.2.9.1"


def test_it_is_the_others_that_count_and_each_once() -> None:
    coordination = Coordination()
    coordination.reach("tcp/22", "a", 0.0)
    assert coordination.of("tcp/22", "a", 0.0) == 0.0
    for _ in range(5):
        coordination.reach("tcp/22", "b", 0.0)
        coordination.reach("tcp/3389", "c", 0.0)
    assert coordination.of("tcp/22", "a", 0.0) == 1.0
    assert coordination.of("tcp/22", "c", 0.0) is None


def test_it_fades_and_is_over() -> None:
    coordination = Coordination()
    for i in range(10):
        coordination.reach("tcp/22", str(i), 0.0)
    fading = [coordination.of("tcp/22", "0", hours * FADES) or 0.0 for hours in (0, 1, 2, 3)]
    assert fading == sorted(fading, reverse=True)
    assert fading[0] == 9.0 and fading[3] < 0.1
    assert coordination.of("tcp/22", "0", 5 * FADES) is None


def test_it_remembers_no_more_than_it_should() -> None:
    coordination = Coordination()
    for i in range(10 * MOST):
        coordination.reach("tcp/445", str(i), float(i) / 1000.0)
    assert (coordination.of("tcp/445", str(10 * MOST - 1), 3.0) or 0.0) < MOST
    assert coordination.of("tcp/445", "0", 3.0) is None


AFTER = T0 + 30 * 3600.0


@cache
def watched() -> bytes:
    """Everybody uses the file server, and a few try a share that is gone, for a day and more."""
    detector, rng, ts = Detector(), random.Random(1), T0
    while ts < AFTER:
        detector.step(start(ts, rng.choice(STAFF), FILES, 445))
        if rng.random() < 0.002:
            detector.step(start(ts, rng.choice(STAFF[:3]), rng.choice(DESKS[:3]), 445))
        ts += rng.expovariate(0.1)
    return detector.snapshot()


def alerted(sources: int, targets: list[str], port: int) -> set[str]:
    """Hosts alerted while ``sources`` take turns at ``targets``, one every 30 s."""
    detector = Detector.restore(watched())
    found = set()
    for i, target in enumerate(targets):
        alert = detector.step(start(AFTER + 30.0 * i, STAFF[i % sources], target, port)).alert
        if alert is not None:
            found.add(alert.host)
            assert alert.kind in ("scan", "spread")
            assert abs(alert.raw - sum(c.contribution for c in alert.features)) < 1e-9
    return found


@pytest.mark.thorough
def test_a_sweep_shared_out_among_sixteen_hosts_is_seen() -> None:
    assert alerted(16, DESKS[20:100], 22)


def test_a_service_that_many_begin_to_use_on_one_server_is_no_sweep() -> None:
    assert alerted(16, ["10.2.9.7"] * 64, 3389) == set()


def test_bad_company_alone_is_no_alert() -> None:
    assert alerted(40, DESKS[20:60], 5985) == set()

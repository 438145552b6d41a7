"""Attackers who try not to be noticed, and honest changes that must not be taken for them.

One simulated working day of a small office as the background of each.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import pytest

from detection.detector import Detector
from tests.support.traffic.episodes import InjectedEpisode, Stage, chaff, mimicry, poison, sweep
from tests.support.traffic.evasions import NOON, frog, knows, launched, moved, place, replace_hosts
from tests.support.traffic.trials import Find, play
from tests.support.traffic.workdays import HOUR, MONDAY, inside, site, workdays
from topology.records import FlowRecord

pytestmark = pytest.mark.thorough
OFFICE = site(30)


@cache
def background(seed: int = 7, days: int = 1) -> tuple[list[FlowRecord], Stage]:
    records = workdays(seed, days, OFFICE)
    stage = Stage.of(records, inside)
    return records, replace_hosts(stage, tuple(h for h in stage.hosts if h in OFFICE.staff))


def find(
    draw: Callable[[random.Random, Stage], InjectedEpisode], seed: int = 7, days: int = 1
) -> Find:
    records, stage = background(seed, days)
    episode = draw(random.Random(seed), stage)
    return play(Detector(seed=seed), records, [episode], inside).finds[0]


@pytest.mark.parametrize("gap", [1.0, 5.0, 30.0, 120.0, 600.0])
def test_low_and_slow_is_found_within_twelve_peers(gap: float) -> None:
    found = find(lambda rng, stage: sweep(rng, stage, gap, 3389, peers=24, begin=NOON))
    assert found.peers is not None and found.peers <= 12


@pytest.mark.parametrize("growth", [0, 10, 20])
def test_a_boiling_frog_is_found_before_it_is_everywhere(growth: int) -> None:
    found = find(lambda rng, stage: frog(growth, rng, stage), days=2)
    assert found.peers is not None and found.peers <= 20


@pytest.mark.parametrize("sources", [1, 4])
def test_a_sweep_shared_among_hosts_is_found(sources: int) -> None:
    found = find(
        lambda rng, stage: sweep(rng, stage, 30.0, 3389, sources=sources, peers=40, begin=NOON)
    )
    assert found.alerted


def test_chaff_does_not_hide_a_sweep() -> None:
    assert find(lambda rng, stage: chaff(rng, stage, 30.0)).alerted


@pytest.mark.xfail(
    strict=True,
    reason="who only uses edges and services that are a habit is not told apart from the habit",
)
@pytest.mark.parametrize("seed", range(3))
def test_mimicry_on_known_edges_is_found(seed: int) -> None:
    assert find(lambda rng, stage: mimicry(rng, stage, inside), seed).alerted


@pytest.mark.parametrize("seed", range(3))
def test_poison_does_not_hide_a_later_sweep(seed: int) -> None:
    records, stage = background()
    episode = sweep(random.Random(seed), stage, 30.0, 22, peers=24, begin=NOON + 3 * HOUR)
    dose = poison(random.Random(seed), stage, episode)
    assert len(dose) >= 3
    assert play(Detector(seed=seed), records, [episode], inside, dose).finds[0].alerted


@pytest.mark.parametrize("change", [moved, launched])
def test_a_migration_and_a_new_server_are_normal_within_an_hour(
    change: Callable[[list[FlowRecord], float, int], list[FlowRecord]],
) -> None:
    ten = MONDAY + 10 * HOUR
    plain = workdays(3, 1, place())
    usual = Detector()
    before = sum(usual.step(record).alert is not None for record in plain)
    detector = Detector()
    uses: set[tuple[str, str, str]] = set()
    alerts = 0
    for record in change(plain, ten, 3):
        if record.ts >= ten + HOUR:
            break
        alerts += detector.step(record).alert is not None
        if record.ts >= ten and record.state == "established" and record.proto == "tcp":
            new = [a for a in (record.src_ip, record.dst_ip) if a not in place().hosts]
            if any(inside(address) for address in new) and inside(record.dst_ip):
                uses.add((record.src_ip, record.dst_ip, record.service))
    assert len(uses) > 20
    known = sum(knows(detector, *use) for use in uses)
    assert known >= 0.9 * len(uses)
    assert alerts <= before + 1

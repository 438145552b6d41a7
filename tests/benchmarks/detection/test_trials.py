"""The evaluation harness judges what it claims to judge."""

from __future__ import annotations

import random

import pytest

from benchmarks.detection.lab_days import sweeps
from detection.alert import Alert, Scored
from tests.support.traffic.episodes import (
    InjectedEpisode,
    Stage,
    campus_sweep,
    mimicry,
    poison,
    sweep,
)
from tests.support.traffic.trials import play
from tests.support.traffic.workdays import DAY, MONDAY, inside, site, workdays
from topology.records import FlowRecord

SMALL = site(90)
RECORDS = workdays(3, 1, SMALL)
STAGE = Stage.of(RECORDS, inside)


class PortDetector:
    """Scores 1 for records to a port, and alerts on the ``after``-th of them."""

    def __init__(self, port: int, after: int = 1) -> None:
        self._port, self._after, self._seen, self._rows = port, after, 0, 0

    def step(self, record: FlowRecord) -> Scored:
        row, self._rows = self._rows, self._rows + 1
        if record.dst_port != self._port:
            return Scored(row, 0.0)
        self._seen += 1
        raised = self._seen == self._after
        alert = None
        if raised:
            alert = Alert("a", record.ts, record.src_ip, "scan", "", 1, 0, 0, (), (), (), "m")
        return Scored(row, 1.0, alert, "a" if self._seen >= self._after else None)


def test_days_are_drawn_from_their_seed_and_in_order() -> None:
    assert workdays(3, 1, SMALL) == RECORDS
    assert workdays(4, 1, SMALL) != RECORDS
    times = [record.ts for record in RECORDS]
    assert times == sorted(times)
    assert MONDAY <= times[0] and times[-1] < MONDAY + 1.3 * DAY
    hours = [int((ts - MONDAY) / 3600) for ts in times]
    office = [r.src_ip in SMALL.workstations for r in RECORDS]
    at_work = sum(office[i] for i, h in enumerate(hours) if 9 <= h < 17)
    assert at_work > 20 * sum(office[i] for i, h in enumerate(hours) if h < 6)


def test_a_find_counts_peers_and_seconds_to_the_first_alert() -> None:
    episode = sweep(random.Random(1), STAGE, 10.0, 5985, peers=12)
    found = play(PortDetector(5985, after=4), [], [episode], inside).finds[0]
    assert found.peers == 4
    assert found.seconds == episode.records[3].ts - episode.begin
    missed = play(PortDetector(1), RECORDS, [episode], inside).finds[0]
    assert not missed.alerted and missed.seconds is None


def test_alerts_on_others_are_counted_and_poison_is_neither_found_nor_false() -> None:
    episode = sweep(random.Random(1), STAGE, 10.0, 9999, peers=12)
    trial = play(PortDetector(445), RECORDS, [episode], inside)
    assert len(trial.others) == 1 and not trial.finds[0].alerted
    (source,) = episode.sources
    dose = [STAGE.connect(episode.begin - 5.0, source, SMALL.mail, 9999)]
    poisoned = play(PortDetector(9999), RECORDS, [episode], inside, dose)
    assert poisoned.others == () and poisoned.finds[0].alerted
    assert poisoned.finds[0].peers == 1
    assert len(poisoned.scores) == len(RECORDS) + len(episode.records), "all begin inside"


def test_recall_at_a_budget_spends_exactly_that_many_other_hosts() -> None:
    episode = sweep(random.Random(2), STAGE, 10.0, 9999, peers=12)
    trial = play(PortDetector(9999), RECORDS, [episode], inside)
    assert trial.found_at(0) == (True,)
    blind = play(PortDetector(445), RECORDS, [episode], inside)
    users = sum(score == 1.0 for score in blind.tops.values())
    assert blind.found_at(0) == (False,)
    assert blind.found_at(users) == (False,), "it ties with those who score nothing"


@pytest.mark.parametrize("seed", range(8))
def test_a_sweep_tries_twelve_peers_or_more_from_a_host_without_that_habit(seed: int) -> None:
    episode = campus_sweep(seed, STAGE)
    (source,) = episode.sources
    port = episode.records[0].dst_port
    assert len(episode.targets) >= 12
    assert all(r.dst_port != port for r in STAGE.used[source])
    assert source not in episode.targets


def test_sweeps_of_one_pass_do_not_touch_each_other() -> None:
    here = site()
    stage = Stage.of(workdays(1, 1, here), inside)
    drawn: list[InjectedEpisode] = sweeps(1, stage, here)
    sources = [source for episode in drawn for source in episode.sources]
    assert len(set(sources)) == len(drawn) == 5
    for i, episode in enumerate(drawn):
        assert not episode.sources & {t for e in drawn[:i] for t in e.targets}


def test_poison_is_its_share_of_a_sources_own_traffic_and_comes_before() -> None:
    episode = sweep(random.Random(5), STAGE, 5.0, 3389, peers=20, begin=STAGE.end - 9 * 3600.0)
    (source,) = episode.sources
    own = sum(r.ts < episode.begin for r in STAGE.used[source])
    dose = poison(random.Random(5), STAGE, episode)
    assert len(dose) == round(own * 0.05 / 0.95) > 0
    assert all(r.ts < episode.begin and r.dst_port == 3389 for r in dose)
    assert not {r.dst_ip for r in dose} & episode.targets


def test_mimicry_makes_no_new_edge() -> None:
    episode = mimicry(random.Random(6), STAGE, inside)
    (source,) = episode.sources
    known = {(r.dst_ip, r.dst_port) for r in STAGE.used[source]}
    assert {(r.dst_ip, r.dst_port) for r in episode.records} <= known

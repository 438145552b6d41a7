"""Rivals, plots and the page: small things that must be right for the tables to be."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest

from benchmarks.detection import plots
from benchmarks.detection.evaluation import BUDGETS, OURS, drawn, kinds
from benchmarks.detection.evaluation_page import PAGE, recall_table, rewritten
from benchmarks.detection.rivals import RIVALS, FanOut, MidasR, NewEdge
from tests.support.traffic.episodes import Stage
from tests.support.traffic.workdays import inside, site, workdays
from topology.records import FlowRecord


def flow(ts: float, src: str = "10.0.0.1", dst: str = "10.0.0.2", port: int = 22) -> FlowRecord:
    return FlowRecord(ts=ts, src_ip=src, dst_ip=dst, proto="tcp", dst_port=port)


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_rivals_score_before_they_learn_and_the_same_each_time(name: str) -> None:
    rng = random.Random(1)
    ports = (22, 445, 9_000, 50_000)
    records = [
        flow(i * 3.0, f"10.0.0.{rng.randrange(5)}", f"10.0.1.{rng.randrange(9)}", rng.choice(ports))
        for i in range(600)
    ]
    one, other = RIVALS[name](), RIVALS[name]()
    scores = [one.step(record).score for record in records]
    assert scores == [other.step(record).score for record in records]
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert len(set(scores)) > 1


def test_a_new_edge_is_new_once() -> None:
    rival = NewEdge()
    assert [rival.step(flow(i)).score for i in range(3)] == [1.0, 0.0, 0.0]
    assert rival.step(flow(4, port=23)).score == 1.0


def test_fan_out_counts_peers_of_the_last_minute() -> None:
    rival = FanOut()
    scores = [rival.step(flow(i, dst=f"10.0.1.{i}")).score for i in range(4)]
    assert scores == [1 / 2, 2 / 3, 3 / 4, 4 / 5]
    assert rival.step(flow(200.0)).score == 1 / 2


def test_midas_finds_a_burst_on_an_edge() -> None:
    rival = MidasR()
    calm = [rival.step(flow(60.0 * i)).score for i in range(60)][-1]
    burst = [rival.step(flow(3600.0 + i / 10)).score for i in range(100)][-1]
    assert burst > 0.99 > calm


def test_plots_are_well_formed_and_name_what_they_show() -> None:
    svg = plots.lines("a < b", "x", "y", ["0", "1"], {"one": [0.0, 1.0], "two": [0.5, 0.5]})
    found = ElementTree.fromstring(svg)
    words = [each.text for each in found.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b" in words and "two" in words
    shares = plots.grid("t", ["r"], ["c", "d"], [[0.0, 0.25]])
    assert "0.25" in "".join(ElementTree.fromstring(shares).itertext())


def test_tables_replace_what_stood_there_and_leave_the_rest() -> None:
    page = "before\n<!-- x -->\nold\n<!-- end -->\nafter\n"
    new = rewritten(page, {"x": "| new |"})
    assert new == "before\n<!-- x -->\n\n| new |\n\n<!-- end -->\nafter\n"
    assert rewritten(new, {"x": "| new |"}) == new


def test_the_table_tells_what_was_missed() -> None:
    base = {
        "kind": "sweep", "at": [False] * len(BUDGETS), "alerted": None, "peers": None,
        "seconds": None, "others": None, "average_precision": 0.5, "tpr": [0, 0],
        "tpr_lucky": [0, 1],
    }  # fmt: skip
    rows = [{**base, "scorer": name} for name in RIVALS]
    ours = {**base, "scorer": OURS, "at": [True] * len(BUDGETS)}
    rows += [{**ours, "alerted": True, "peers": 7, "seconds": 120.0}, {**ours, "alerted": False}]
    line = recall_table(rows).splitlines()[-1]
    assert line == "| sweep | 1.00 | 0.00 | 0.00 | 0.00 | 0.00 | 0.50 | 7 | 2.0 |"


def test_the_manual_has_a_place_for_every_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("campus recall", "campus ranking", "days recall", "days ranking"):
        assert f"<!-- {name} -->" in page


def test_every_kind_is_drawn_from_its_seed_with_its_own_sources() -> None:
    here = site(90)
    stage = Stage.of(workdays(2, 1, here), inside)
    episodes = drawn(5, stage, inside)
    assert list(episodes) == list(kinds(inside))
    again = drawn(5, stage, inside)
    assert {k: e.records for k, e in again.items()} == {k: e.records for k, e in episodes.items()}
    sweeps = [e.sources for k, e in episodes.items() if "sweep" in k or "sources" in k]
    assert len({s for each in sweeps for s in each}) == sum(len(each) for each in sweeps)

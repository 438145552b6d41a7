from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from detection.alert import Alert, Contribution
from mininet_tests.scenario.actions import RequestResult
from mininet_tests.scenario.attack import AttackLog, AttackStep
from mininet_tests.scenario.report import as_json, headline, show
from mininet_tests.scenario.schedule import Request
from mininet_tests.scenario.timeline import (
    Containment,
    HostileTraffic,
    ScenarioResult,
    Share,
    containment_of,
    phase_of,
    problems,
    shares_of,
)
from response.decision import Decision, InstalledRule


def outcome(start: float, end: float, ok: bool = True, client: str = "c", server: str = "s") -> Any:
    request = Request(start, "p", "http", client, server, "10.0.0.1", 80)
    return RequestResult(request, ok, start, end, "" if ok else "refused")


def decision(target: str = "web1", ts: float = 101.0, state: Any = "active") -> Decision:
    return Decision(
        id="d1", number=1, ts=ts, action="quarantine", target=target, addresses=("10.0.0.1",),
        scope="host", state=state, ttl=900, alert="a1", why="scan", would_release_if="never",
        by="septum", rules=(InstalledRule(1, 2, 3),),
    )  # fmt: skip


ALERT = Alert(
    "a1", 100.9, "web1", "scan", "T1046", 0.9999, 0.99, 3.0,
    (Contribution("new peers", 9, 0, 2, 3.0),), (), (0, 1), "m/1",
)  # fmt: skip
STEP = AttackStep(100.0, 103.0, "sweep", "17 addresses", True, "ended")
LOG = AttackLog(100.0, 110.0, (STEP,), (), ())
SEEN = HostileTraffic(100.1, 50, 101.1, "app1", 7, {"app1": 100.8})
GOOD = ScenarioResult(
    attack=LOG,
    seen=SEEN,
    attacker="web1",
    containment=Containment(decision(), ALERT, 101.2),
    decisions=(decision(),),
    shares=(Share("before", 10, 0, 0), Share("during", 5, 0, 1), Share("after", 5, 0, 2)),
    failures=(),
)


def test_a_contained_attack_has_no_problems() -> None:
    assert problems(GOOD) == ()
    assert GOOD.seconds_to_rule == pytest.approx(1.1)
    assert headline(GOOD).startswith("Contained 1.100 s")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"containment": None, "decisions": ()}, "no decision against web1"),
        ({"containment": Containment(decision(), ALERT, None)}, "never confirmed"),
        ({"containment": Containment(decision(), ALERT, 102.2)}, "2.10 s from first hostile"),
        ({"seen": replace(SEEN, last_through=101.5)}, "0.30 s after the rule"),
        ({"seen": replace(SEEN, reached=dict.fromkeys("abcd", 1.0))}, "4 hosts reached"),
        ({"seen": replace(SEEN, first_sent=None)}, "did not take place"),
        ({"attack": replace(LOG, pivots=("app1",))}, "logged in to app1"),
        ({"attack": replace(LOG, loot=("orders",))}, "read orders"),
        ({"shares": (Share("before", 10, 1, 0),)}, "1 benign requests failed"),
        ({"shares": ()}, "no benign request was made"),
        ({"decisions": (decision(), decision("db1"))}, "active quarantine of db1"),
        ({"audit_problems": ("gap",)}, "gap"),
    ],
)
def test_each_way_to_fail_is_named(changes: dict[str, Any], words: str) -> None:
    found = problems(replace(GOOD, **changes))
    assert any(words in problem for problem in found)
    assert words in headline(replace(GOOD, **changes))


def test_a_limit_is_still_good() -> None:
    at_limit = replace(GOOD, containment=Containment(decision(), ALERT, 102.1))
    assert problems(at_limit) == ()
    assert problems(replace(GOOD, seen=replace(SEEN, reached=dict.fromkeys("abc", 1.0)))) == ()


def test_a_proposal_against_another_host_harms_nobody_during_an_attack() -> None:
    proposed = decision("db1", state="proposed")
    assert problems(replace(GOOD, decisions=(decision(), proposed))) == ()


def test_a_benign_day_allows_no_decision_at_all() -> None:
    quiet = ScenarioResult(None, None, None, None, (), (Share("all", 10, 0, 0),), ())
    assert problems(quiet) == ()
    assert problems(replace(quiet, decisions=(decision("db1", state="proposed"),)))
    assert problems(replace(quiet, shares=(Share("all", 10, 2, 0),)))


def test_phases_are_by_start() -> None:
    span = (100.0, 110.0)
    assert [phase_of(t, span) for t in (99.9, 100.0, 110.0, 110.1)] == [
        "before", "during", "during", "after",
    ]  # fmt: skip
    assert phase_of(5.0, None) == "all"


def test_requests_of_the_quarantined_host_count_apart_only_after_the_decision() -> None:
    outcomes = [
        outcome(90, 91),
        outcome(95, 96, ok=False, server="web1"),  # before the decision: counts
        outcome(100.5, 104, ok=False, client="web1"),  # under way when it fell: apart
        outcome(105, 106, server="web1"),  # allowed by break-glass: apart as well
        outcome(105, 106, ok=False),  # another host's: counts
        outcome(111, 112),
    ]
    shares, failures = shares_of(outcomes, (100.0, 110.0), {"web1"}, 101.0)
    assert shares == (Share("before", 2, 1, 0), Share("during", 1, 1, 2), Share("after", 1, 0, 0))
    assert [f.started for f in failures] == [95, 105]
    assert sum(s.requests + s.apart for s in shares) == len(outcomes)


def test_success_is_a_share_of_those_that_count() -> None:
    assert Share("before", 8, 2, 5).success == 0.75
    assert Share("before", 0, 0, 5).success is None


def test_the_first_decision_in_force_against_a_suspect_contains() -> None:
    late, early = decision(ts=105.0), decision(ts=101.0)
    others = [decision("db1", ts=100.0), decision(ts=99.0, state="proposed")]
    found = [Containment(d, None, None) for d in (late, early, *others)]
    chosen = containment_of(found, {"web1"})
    assert chosen is not None and chosen.decision is early
    assert containment_of(found[2:], {"web1"}) is None


def test_the_report_says_it_all() -> None:
    failed = outcome(105, 106, ok=False)
    result = replace(GOOD, failures=(failed,), shares=(Share("during", 3, 1, 0),))
    console = Console(record=True, width=160, file=StringIO())
    show(console, result, headline(result))
    text = console.export_text()
    for words in (
        "first hostile packet", "alert", "decision", "rule on switch", "last hostile packet",
        "host reached", "new peers", "+3.000", "66.7%", "refused", "1 benign requests failed",
    ):  # fmt: skip
        assert words in text
    order = [text.index(w) for w in ("first hostile", "host reached", "decision", "rule on switch")]
    assert order == sorted(order)


def test_the_json_form_is_json_and_whole() -> None:
    data = json.loads(json.dumps(as_json(GOOD)))
    assert data["success"] is True
    assert data["seconds_to_rule"] == pytest.approx(1.1)
    assert data["alert"]["features"][0]["contribution"] == 3.0
    assert data["hosts_reached"] == {"app1": 100.8}
    assert [phase["phase"] for phase in data["benign"]] == ["before", "during", "after"]

"""The learner starts as the fixed table, moves by rewards, and every reward is on record."""

from __future__ import annotations

import pickle
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.composition import compose
from policies.model import (
    Envelope,
)
from response.decision import ARMS
from response.decisions.action_table import arms_of, fixed_action
from response.decisions.bandit import FORMAT, ActionLearner, Context
from response.decisions.host_addresses import KnownHost
from response.decisions.rewards import RewardCase, habits_of, reward_of
from response.ipc.messages import Ask, RecordsSeen
from tests.support.hostile_pickles import that_touches
from tests.support.street import make_alert
from topology.graph import CommunicationGraph
from topology.records import FlowRecord

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.street import Street

contexts = st.builds(
    Context,
    score=st.floats(0.0, 1.0),
    kind=st.sampled_from(["scan", "lateral-path", "novel-edge", "something-new"]),
    hops=st.integers(0, 20),
    criticality=st.floats(0.0, 1.0),
    headroom=st.floats(0.0, 1.0),
)
CERTAIN = Context(0.9995, "lateral-path", 3, 0.2, 1.0)


@given(contexts, st.sets(st.sampled_from(ARMS)), st.integers(0, 5))
def test_untaught_it_is_the_fixed_table_and_knows_no_better(
    context: Context, allowed: set[str], seed: int
) -> None:
    arms = arms_of(allowed)
    for free in ((), arms):
        chosen = ActionLearner(seed).choose(context, arms, free)
        table = fixed_action(context.score, context.hops, arms)
        assert (chosen.action, chosen.table, chosen.explored) == (table, table, False)
    assert all(0.0 <= value <= 1.0 for value in context.features().values())


def test_rewards_move_it_and_only_where_they_came_from() -> None:
    learner = ActionLearner()
    for _ in range(30):
        learner.learn(CERTAIN.features(), "quarantine", "quarantine", 0.2)
    assert learner.choose(CERTAIN, ARMS).action == "isolate"
    quiet = replace(CERTAIN, score=0.5, kind="volume", hops=0)
    assert learner.choose(quiet, ARMS).action == "alert"


def test_one_undo_is_not_enough_to_forget_the_table() -> None:
    learner = ActionLearner()
    learner.learn(CERTAIN.features(), "quarantine", "quarantine", 0.3)
    assert learner.choose(CERTAIN, ("alert", "quarantine")).action == "quarantine"
    for _ in range(20):
        learner.learn(CERTAIN.features(), "quarantine", "quarantine", 0.3)
    assert learner.choose(CERTAIN, ("alert", "quarantine")).action == "alert"


@given(st.lists(st.tuples(contexts, st.sampled_from(ARMS), st.floats(-1, 1)), max_size=30))
@settings(max_examples=25)
def test_it_goes_on_from_a_snapshot_exactly(
    taught: list[tuple[Context, Any, float]],
) -> None:
    one = ActionLearner(seed=7)
    for context, arm, reward in taught:
        one.learn(context.features(), arm, "isolate", reward)
    two = ActionLearner.restore(one.snapshot())
    for learner in (one, two):
        learner.learn(CERTAIN.features(), "isolate", "quarantine", 0.4)
    assert one.choose(CERTAIN, ARMS, ARMS) == two.choose(CERTAIN, ARMS, ARMS)
    assert one.rewards == two.rewards == len(taught) + 1


@pytest.mark.threat("stored-code")
def test_a_foreign_snapshot_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hostile = that_touches(mark, "response.decisions.bandit", "ActionLearner.learn")
    for body in (hostile, pickle.dumps(print), pickle.dumps({"a": 1}), b"x"):
        for header in (FORMAT.header, b"septum-actions-2\n"):
            with pytest.raises(ValueError, match="snapshot"):
                ActionLearner.restore(header + zlib.compress(body))
    assert not mark.exists()
    with pytest.raises(ValueError, match="snapshot"):
        ActionLearner.restore(b"nothing")


@pytest.mark.threat("stored-code")
@given(st.data())
def test_damaged_bytes_are_refused_or_harmless(data: st.DataObject) -> None:
    learner = ActionLearner(seed=7)
    for i in range(12):
        learner.learn(CERTAIN.features(), ARMS[i % len(ARMS)], "isolate", 0.1 * i)
        learner.learn(replace(CERTAIN, kind=f"k{i % 3}").features(), "isolate", "isolate", 0.5)
    raw = bytearray(zlib.decompress(learner.snapshot()[len(FORMAT.header) :]))
    place = data.draw(st.integers(0, len(raw) - 9))
    if data.draw(st.booleans()):
        number = data.draw(st.sampled_from([0.0, -1.0, 1e9, -1e9, 1e300, float("nan")]))
        raw[place : place + 8] = struct.pack("<d", number)
    else:
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = ActionLearner.restore(FORMAT.header + zlib.compress(bytes(raw)))
    except ValueError as problem:
        assert "snapshot" in str(problem) and "\n" not in str(problem)
        return
    for _ in range(3):
        chosen = found.choose(CERTAIN, ARMS, ARMS)
        found.learn(CERTAIN.features(), chosen.action, chosen.table, 0.4)
    found.snapshot()


def case(**more: Any) -> RewardCase:
    made = RewardCase(
        "d1", 0.0, "h", ("10.0.0.1",), "quarantine", "quarantine", (), 10, 0,
        (("10.0.0.9", "10.0.0.1", "tcp/80"), ("10.0.0.1", "10.0.0.8", "udp/53")), "d1",
    )  # fmt: skip
    return replace(made, **more)


def test_what_a_choice_earns() -> None:
    assert reward_of(case(), "").value == pytest.approx(0.8)  # all stopped, nothing exposed
    assert reward_of(case(carried=3, stopped=1), "").safe == 0.75
    assert reward_of(case(action="isolate"), "").safe == 0.5  # nothing seen: as a server only
    open_ = case(action="alert", pairs_left=10)
    assert reward_of(open_, "").value == pytest.approx(1 - 4 * 0.5 / 5)
    assert reward_of(replace(open_, action="rate_limit"), "").exposed == 0.5
    values = [reward_of(case(), word).value for word in ("undone", "", "approved")]
    assert values == sorted(values) and values[0] < values[2]
    assert -1.0 <= values[0] <= values[2] <= 1.0
    assert reward_of(case(pairs=0), "").exposed == 0.0


def flow(src: str, dst: str, port: int, ts: float, **more: Any) -> FlowRecord:
    return FlowRecord(ts, src, dst, "tcp", 40000, port, phase="start", **more)


def test_habits_are_old_worked_and_no_part_of_the_alert() -> None:
    graph = CommunicationGraph()
    graph.observe(flow("10.0.0.9", "10.0.0.1", 80, 10.0))
    graph.observe(flow("10.0.0.1", "10.0.0.7", 443, 20.0))
    graph.observe(flow("10.0.0.1", "10.0.0.6", 445, 30.0, state="denied"))
    graph.observe(flow("10.0.0.1", "10.0.0.2", 22, 40.0))  # in the alert's path
    graph.observe(flow("10.0.0.1", "10.0.0.5", 80, 990.0))  # since a moment
    graph.observe(flow("10.0.0.3", "10.0.0.4", 80, 10.0))  # somebody else's
    found = habits_of(graph, KnownHost("h", ("10.0.0.1",), True), make_alert("10.0.0.1"))
    assert set(found) == {
        ("10.0.0.9", "10.0.0.1", "tcp/80"),
        ("10.0.0.1", "10.0.0.7", "tcp/443"),
    }


def test_the_ledger_counts_safe_traffic_and_writes_every_reward_down(street: Street) -> None:
    street.envelope = Envelope(actions=ARMS, max_hosts=3, max_share=1.0, ttl=900)
    street.reopen(500.0)
    habit = flow("10.0.0.3", "10.0.0.1", 80, 600.0)
    street.analysis.step(RecordsSeen((habit,)), 600.0)
    row = street.detector.rows
    street.detector.alerts[row] = make_alert("10.0.0.1", 1000.0, records=(row,))
    street.analysis.step(RecordsSeen((flow("10.0.0.1", "10.0.0.2", 22, 1000.0),)), 1000.0)
    stopped = msgspec.structs.replace(habit, ts=1001.0, verdict="deny", state="denied")
    street.analysis.step(
        RecordsSeen((stopped, stopped, msgspec.structs.replace(habit, ts=1002.0))), 1002.0
    )
    street.analysis.tick(1011.0)  # counts are written down
    street.reopen(1012.0)  # and outlive the process
    street.analysis.step(RecordsSeen((msgspec.structs.replace(stopped, ts=1013.0),)), 1013.0)
    street.analysis.ask(Ask("release", "d1", "ana"), 1020.0)
    (entry,) = street.audit.entries(kind="reward")
    said = entry.values()
    assert (said["safe_carried"], said["safe_stopped"]) == (1, 3)
    assert (said["action"], said["table"], said["person"]) == ("quarantine",) * 2 + ("undone",)
    assert said["pairs_left"] <= said["pairs"]
    assert street.store.pending_rewards() == ()
    kept = street.store.latest_snapshot("actions")
    assert kept is not None
    assert ActionLearner.restore(kept[1]).rewards == 1
    assert street.audit.verify().whole


def test_an_alert_that_was_only_an_alert_is_rewarded_when_its_time_is_over(
    street: Street,
) -> None:
    street.envelope = Envelope(actions=ARMS, max_hosts=3, max_share=1.0, ttl=900)
    street.reopen(500.0)
    row = street.detector.rows
    street.detector.alerts[row] = replace(make_alert("10.0.0.1", 1000.0, records=(row,)), score=0.5)
    assert (
        street.analysis.step(RecordsSeen((flow("10.0.0.1", "10.0.0.2", 22, 1000.0),)), 1000.0) == []
    )
    assert len(street.store.pending_rewards()) == 1
    street.analysis.tick(1899.0)
    assert street.kinds().count("reward") == 0
    street.analysis.tick(1911.0)
    (entry,) = street.audit.entries(kind="reward")
    assert (entry.values()["action"], entry.values()["decision"]) == ("alert", None)


def test_what_was_learned_about_actions_outlives_a_restart(tmp_path: Path) -> None:
    from response.state.store import Store

    policy = tmp_path / "p.yaml"
    policy.write_text(
        "apiVersion: septum/v1\nkind: SegmentPolicy\nmetadata: {name: p}\nsegments: {}\n"
    )
    first = compose(tmp_path, [str(policy)], True, 0, 1.0, bytes)
    assert first.analysis._decisions.ledger.learner.rewards == 0
    store = Store.open(tmp_path, 1.0)
    learner = ActionLearner()
    learner.learn(CERTAIN.features(), "isolate", "quarantine", 0.9)
    store.save_snapshot(2.0, "actions", learner.snapshot())
    assert (
        compose(
            tmp_path, [str(policy)], True, 0, 3.0, bytes
        ).analysis._decisions.ledger.learner.rewards
        == 1
    )
    store.save_snapshot(4.0, "actions", b"damaged")
    broken = compose(tmp_path, [str(policy)], True, 0, 5.0, bytes)
    assert broken.analysis._decisions.ledger.learner.rewards == 0
    assert "fixed table again" in str(broken.problem)

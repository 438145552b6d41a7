"""The environment in which answers to alerts are learned and compared."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from benchmarks.response.gym import ResponseEnv
from benchmarks.response.learning import DayOutcome, containing, interval, play, table_action, train
from benchmarks.response.scene import Scene, demo_scene, draw_day
from response.decision import ARMS


@cache
def scene() -> Scene:
    """A shorter day than the measured ones."""
    return replace(demo_scene(), day=300.0, quiet=120.0)


def test_a_day_is_drawn_by_its_seed_and_halves_share_no_block() -> None:
    assert draw_day(scene(), 3) == draw_day(scene(), 3)
    assert draw_day(scene(), 3) != draw_day(scene(), 4)
    learn, measure = scene().half(False), scene().half(True)
    assert len(learn.blocks) + len(measure.blocks) == len(scene().blocks)
    assert not set(learn.blocks) & set(measure.blocks)


@pytest.mark.thorough
def test_it_is_a_gymnasium_environment() -> None:
    env: gymnasium.Env[np.ndarray, np.int64] = ResponseEnv(scene())
    check_env(env, skip_render_check=True)


@pytest.mark.thorough
def test_blocking_stops_the_intruder_and_costs_what_is_blocked() -> None:
    env = ResponseEnv(scene())
    days = range(4)
    found = {
        arm: [play(env, day, lambda _, arm=arm: arm)[0] for day in days]  # type: ignore[misc]
        for arm in ARMS
    }
    exposed = {arm: sum(day.exposed for day in each) for arm, each in found.items()}
    lost = {arm: sum(day.lost for day in each) for arm, each in found.items()}
    assert lost["alert"] == 0 < lost["isolate"] < lost["quarantine"]
    assert exposed["quarantine"] <= exposed["isolate"] < exposed["alert"]
    again = [play(env, day, lambda _: "quarantine")[0] for day in days]
    assert again == found["quarantine"], "the same days and answers give the same figures"
    for none, all_ in zip(found["alert"], found["quarantine"], strict=True):
        assert none.carried == all_.carried + all_.lost


@pytest.mark.thorough
def test_what_an_answer_earned_teaches_a_learner_that_starts_as_the_table() -> None:
    learner = train(scene(), range(1000, 1012))
    assert learner.rewards > 5
    env = ResponseEnv(scene().half(held_back=True))
    _, earned = play(env, 0, table_action)
    assert all(0.0 <= each.reward <= 1.0 for each in earned)
    assert (
        train(scene(), range(1000, 1003)).snapshot() == train(scene(), range(1000, 1003)).snapshot()
    )


def test_intervals_and_what_counts_as_containing() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0] * 10)
    assert 2.0 < low < 2.5 < high < 3.0
    found = {
        "never-block": (DayOutcome(0, 9, 10),) * 3,
        "weak": (DayOutcome(1, 8, 9),) * 3,
        "strong": (DayOutcome(5, 4, 1),) * 3,
        "learner": (DayOutcome(2, 7, 1),) * 3,
    }
    assert containing(found) == ["strong"]


def test_a_step_after_the_day_is_refused() -> None:
    env = ResponseEnv(replace(scene(), day=20.0, quiet=10.0))
    env.reset(seed=1)
    over = False
    while not over:
        _, _, over, _, _ = env.step(0)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(0)

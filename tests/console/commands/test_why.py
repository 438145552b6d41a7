"""``septum why`` at the command line, with a controller and without."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from response.audit.log import Audit
from response.state.store import Store
from tests.support.running_controller import running
from tests.support.state_in_force import quarantine, state_in_force


def asked(capsys: pytest.CaptureFixture[str], state: Path, *words: str) -> Any:
    assert run(["why", *words, "--state", str(state), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_without_a_controller_the_state_directory_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path, decisions=(quarantine(time.time()),))
    store = Store.open(state, time.time())
    spoof = {"switch": 1, "port": 7, "mac": "02:00:00:00:00:01", "ip": "10.0.0.1",
             "reason": "it belongs to c1", "count": 5}  # fmt: skip
    Audit(store).append(time.time(), "spoof", {"packets": 5, "since": 1.0, "most": [spoof]})
    store.close()
    found = asked(capsys, state, "c2", "--to", "web", "--service", "https")
    assert (found["works"], found["controller"]) == (False, False)
    assert "denied by decision d1" in found["cause"]["text"]
    assert "septum decisions show d1" in found["to_do"][0]
    elsewhere = asked(capsys, state, "c1")
    assert elsewhere["cause"]["text"].startswith("c1 is seen on switch 1 port 7")
    assert run(["why", "c3", "--to", "web", "--state", str(state)]) == 0
    out = capsys.readouterr().out
    assert (
        f"no controller runs on {state}, so how" in out and "may use tcp/443 (intent browse)" in out
    )


def test_questions_that_have_no_answer_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path)
    for words in (
        ["nobody"],
        ["c1", "--to", "nobody"],
        ["c1", "--service", "https"],
        ["c1", "--to", "web", "--service", "tcp"],
        ["c1", "--to", "fd00::1", "--service", "https"],
    ):
        assert run(["why", *words, "--state", str(state)]) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_with_a_controller_the_missing_switch_is_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path) as controller:
        controller.wait_ready()
        state = controller.options.state
        found = asked(capsys, state, "web1", "--to", "db1", "--service", "postgres")
        assert (found["cause"]["about"], found["controller"]) == ("switch", True)
        assert found["cause"]["text"].endswith("is not connected")
        assert run(["status", "--state", str(state)]) == 0
        assert "inventory  switch 1 is not connected" in capsys.readouterr().out

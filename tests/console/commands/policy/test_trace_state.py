"""``septum policy trace --state``: by what is in force now."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from tests.support.state_in_force import OFFICE, quarantine, state_in_force


def traced(capsys: pytest.CaptureFixture[str], state: Path, *words: str) -> Any:
    arguments = ["policy", "trace", *words, "--service", "tcp/443", "--state", str(state), "--json"]
    assert run(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_the_running_version_judges_and_learned_hosts_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path)
    (tmp_path / "office.yaml").write_text("edited since")
    found = traced(capsys, state, "--from", "c3", "--to", "web")
    assert (found["src_ip"], found["action"], found["intent"]) == ("10.0.0.33", "allow", "browse")
    assert (found["policy_version"], found["decision"], found["feed"]) == (1, None, None)
    assert {met["switch"] for met in found["rules"]} == {2}
    assert run(["policy", "trace", "--from", "c3", "--to", "web", "--service", "tcp/443"]) == 2
    assert "--state" in capsys.readouterr().err


def test_a_decision_denies_what_the_policy_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path, decisions=(quarantine(time.time()),))
    found = traced(capsys, state, "--from", "c2", "--to", "web")
    assert (found["action"], found["tier"], found["decision"]) == ("deny", "adaptive", "d1")
    deciding = {met["table"] for met in found["rules"] if met["decides"]}
    assert 7 in deciding, "the rule that marks its address"
    assert traced(capsys, state, "--from", "c1", "--to", "web")["decision"] is None
    words = ["--from", "c2", "--to", "web", "--service", "tcp/443", "--state", str(state)]
    assert run(["policy", "trace", *words]) == 0
    out = capsys.readouterr().out
    assert "policy office, version 1; " in out and "1 decisions active" in out
    assert "deny by decision d1" in out and "quarantine of c2 until" in out


def test_an_expired_decision_denies_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path, decisions=(quarantine(time.time() - 1_000),))
    assert traced(capsys, state, "--from", "c2", "--to", "web")["action"] == "allow"


def test_a_feed_denies_and_its_rule_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path, listed="10.0.0.1")
    found = traced(capsys, state, "--from", "c1", "--to", "web")
    assert (found["action"], found["feed"]) == ("deny", "drop")
    assert 22 in {met["table"] for met in found["rules"] if met["decides"]}


def test_another_policy_can_be_tried_under_the_same_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_in_force(tmp_path, decisions=(quarantine(time.time()),))
    other = tmp_path / "other.yaml"
    other.write_text(OFFICE.replace("name: browse, from: pcs", "name: surf, from: pcs"))
    found = traced(capsys, state, str(other), "--from", "c1", "--to", "web")
    assert (found["intent"], found["policy_version"]) == ("surf", None)
    assert traced(capsys, state, str(other), "--from", "c2", "--to", "web")["decision"] == "d1"


def test_a_directory_where_no_policy_was_in_force_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--from", "c1", "--to", "web", "--service", "tcp/443"]
    assert run(["policy", "trace", *words, "--state", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

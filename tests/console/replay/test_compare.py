"""One recording replayed twice: bit for bit the same, or where it first parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from console import cli

ROOT = Path(__file__).resolve().parents[3]
RECORDING = ROOT / "mininet_tests" / "recordings" / "demo-day.csv.gz"
POLICY = ROOT / "mininet_tests" / "scenarios" / "demo-policy.yaml"


def replay(capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, Any]:
    command = ["replay", "--flows", str(RECORDING), "--policy", str(POLICY), "--json"]
    code = cli.run([*command, *(str(word) for word in more)])
    said = capsys.readouterr()
    return code, json.loads(said.out) if code < 2 else said.err


@pytest.mark.thorough
def test_the_same_policy_models_and_seed_give_the_same_bits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = replay(capsys, "--against", POLICY)
    assert (code, told["same"], told["first_difference"]) == (0, True, None)
    assert told["first"] == told["second"]
    assert told["verdicts_changed"] == []
    assert told["first"]["decisions"] > 0
    alone = replay(capsys)[1]
    assert alone["digest"] == told["first"]["digest"], "alone as well as beside another"


@pytest.mark.thorough
def test_another_policy_parts_at_a_decision_and_in_verdicts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shorter = tmp_path / "shorter.yaml"
    text = POLICY.read_text()
    assert "ttl: 15m" in text
    shorter.write_text(text.replace("ttl: 15m", "ttl: 10m"))
    code, told = replay(capsys, "--against", shorter)
    assert (code, told["same"]) == (1, False)
    found = told["first_difference"]
    assert found["index"] == 0
    assert (found["first"]["ttl"], found["second"]["ttl"]) == (900, 600)
    assert "target" not in found["fields"]
    without = tmp_path / "without.yaml"
    without.write_text(text.replace("adapt: auto", "adapt: alert"))
    code, told = replay(capsys, "--against", without)
    assert code == 1
    assert told["first_difference"]["second"] is None
    assert told["second"]["decisions"] == told["second"]["stopped"] == 0
    moved = {(m["first"], m["second"]): m["records"] for m in told["verdicts_changed"]}
    # What the decision stopped is no longer stopped by it; the policy denies some of it anyway.
    assert moved and {first for first, _ in moved} == {"deny"}
    assert sum(moved.values()) <= told["first"]["stopped"]


@pytest.mark.thorough
def test_another_model_or_seed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    learned = tmp_path / "learned"
    assert replay(capsys, "--state", learned)[0] == 0
    code, told = replay(capsys, "--against-model", learned)
    assert code == 1, "who has seen the day before is surprised by other things"
    again = replay(capsys, "--model", learned, "--against-model", learned)
    assert (again[0], again[1]["same"]) == (0, True)
    assert again[1]["first"]["digest"] == told["second"]["digest"]
    assert cli.run(["models", "list", "--json", "--state", str(learned)]) == 0
    name = json.loads(capsys.readouterr().out)[-1]["id"]
    named = replay(capsys, "--model", learned, "--against-model", learned / name)
    assert (named[0], named[1]["same"]) == (0, True)
    assert replay(capsys, "--model", learned / "m999")[0] == 2
    code, told = replay(capsys, "--against-seed", 0)
    assert (code, told["same"]) == (0, True)
    assert cli.run(["replay", "--flows", str(RECORDING), "--policy", str(POLICY),
                    "--against-seed", "0"]) == 0  # fmt: skip
    assert "the same, bit for bit: sha256 " in capsys.readouterr().out


def test_a_model_that_is_none_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = replay(capsys, "--model", tmp_path)
    assert (code, len(said.splitlines())) == (2, 1)


def test_nothing_twice_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    command = ["replay", "--flows", str(empty), "--policy", str(POLICY), "--against", str(POLICY)]
    assert cli.run(command) == 0
    assert capsys.readouterr().out == "0 records\n"

"""What docs/recordings.md shows works as it stands there, and its output is the real one."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from console import cli
from mininet_tests.scenario.scenario import SCENARIOS
from topology.readers import RecordReader

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
RECORDING = SCENARIOS.parent / "recordings" / "demo-day.csv.gz"
POLICY = SCENARIOS / "demo-policy.yaml"


def shown() -> list[tuple[str, list[str]]]:
    """Each command of the page with the output that the page shows."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S):
        for line in block.splitlines():
            if line.startswith("$ septum "):
                found.append((line.removeprefix("$ septum "), []))
            else:
                found[-1][1].append(line)
    return found


def stable(line: str) -> str:
    """Scores move with every change of the learners; what is found must not."""
    return re.sub(r"score .*", "", line).rstrip()


def test_the_commands_of_the_manual_give_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mininet_tests").symlink_to(ROOT / "mininet_tests")
    monkeypatch.chdir(tmp_path)
    commands = [command for command, _ in shown()]
    assert [shlex.split(c)[0] for c in commands[:4]] == ["detect", "policy", "policy", "replay"]
    for command, output in shown():
        assert cli.run(shlex.split(command)) == 0, command
        lines = [stable(line) for line in capsys.readouterr().out.splitlines()]
        for line in map(stable, output):
            start = line.partition("...")[0]
            assert any(each.startswith(start) for each in lines), f"{command}: {line}"
    alerts = [json.loads(line) for line in Path("alerts.jsonl").read_text().splitlines()]
    assert {alert["host"] for alert in alerts} == {"10.0.1.11", "10.0.2.21"}


def test_the_recording_is_small_and_its_labels_are_for_those_who_measure() -> None:
    assert RECORDING.stat().st_size < 300_000
    with gzip.open(RECORDING, "rt") as text:
        rows = list(csv.DictReader(text))
    hostile = [row for row in rows if row["label"] == "1"]
    assert {row["attack"] for row in hostile} == {"sweep", "hop", "onward"}
    assert {row["src_ip"] for row in hostile if row["attack"] != "onward"} == {"10.0.1.11"}
    without = io.StringIO()
    table = csv.DictWriter(without, rows[0].keys() - {"label", "attack"}, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    plain = RecordReader("-", stdin=io.BytesIO(without.getvalue().encode()))
    assert list(RecordReader(RECORDING)) == list(plain)


# replay


def replayed(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert cli.run(["replay", "--flows", str(RECORDING), "--policy", str(POLICY), *more]) == 0
    return capsys.readouterr().out


def test_replay_is_the_same_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    first = replayed(capsys, "--json")
    assert first == replayed(capsys, "--json")
    told = json.loads(first)
    assert told["records"] == sum(told["verdicts"].values()) == 2184
    web1 = told["decisions"][0]
    assert (web1["action"], web1["target"], web1["state"]) == ("quarantine", "web1", "active")
    rules = web1["rules_per_switch"]
    assert any("reg8=0xa00010b" in rule for rule in rules)  # 10.0.1.11 as source
    assert all("hard_timeout=900" in rule for rule in rules)
    assert web1["stopped"] > 100
    assert web1["alert"] == told["alerts"][0]["id"]


def test_replay_without_decisions_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(replayed(capsys, "--json", "--no-adapt"))
    assert told["decisions"] == []
    assert {alert["outcome"] for alert in told["alerts"]} == {"alert"}
    assert told["verdicts"]["deny"] == 148


def test_replay_judges_by_the_policy_given_not_by_the_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "ts,src_ip,dst_ip,proto,dst_port,state,verdict\n"
    rows += "1,10.0.4.41,10.0.1.11,tcp,80,denied,deny\n"  # ops may visit the shop
    rows += "2,10.0.1.11,10.0.3.31,tcp,6379,established,allow\n"  # web may not reach databases
    rows += "3,02:00:00:00:00:01,02:00:00:00:00:02,stp,0,,\n"
    flows = tmp_path / "flows.csv"
    flows.write_text(rows)
    kept = tmp_path / "kept"
    arguments = ["replay", "--flows", str(flows), "--policy", str(POLICY), "--state", str(kept)]
    assert cli.run(arguments) == 0
    assert "1 allow, 1 deny, 1 not judged" in capsys.readouterr().out
    assert cli.run(["flows", "--state", str(kept), "--json"]) == 0
    first, second, _ = json.loads(capsys.readouterr().out)
    assert (first["verdict"], first["intent"], "state" in first) == (
        "allow",
        "ops-visit-shop",
        False,
    )
    assert (second["verdict"], second["state"]) == ("deny", "denied")
    assert cli.run(arguments) == 2
    assert "not a new or empty directory" in capsys.readouterr().err


def test_replay_of_nothing_and_of_nonsense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, nonsense = tmp_path / "empty.csv", tmp_path / "nonsense"
    empty.write_text("")
    nonsense.write_bytes(bytes(range(128, 256)))
    assert cli.run(["replay", "--flows", str(empty), "--policy", str(POLICY)]) == 0
    assert capsys.readouterr().out == "0 records over 0 s\n"
    for more, word in (([], "not UTF-8 text"), (["--format", "odd"], "choose one of auto")):
        command = ["replay", "--flows", str(nonsense), "--policy", str(POLICY), *more]
        assert cli.run(command) == 2
        assert word in capsys.readouterr().err

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from msgspec.structs import asdict

from console.cli import run
from tests.support.traffic.office import HOSTS, T0, WEB, benign, sweep

COLUMNS = ("ts", "src_ip", "dst_ip", "proto", "src_port", "dst_port", "state", "phase", "verdict")


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    path = tmp_path / "flows.csv"
    records = benign(1, 30.0) + sweep(T0 + 40, WEB[0], HOSTS, (22, 445))
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow((*COLUMNS, "label"))
        for i, record in enumerate(records):
            values = asdict(record)
            rows.writerow((*("" if values[c] is None else values[c] for c in COLUMNS), 0))
            if i == 50:
                out.write("not,a,row\n")
    return path


def septum(*arguments: object) -> int:
    return run([str(a) for a in arguments])


def test_every_row_gets_a_score_and_alerts_name_input_rows(
    flows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, alerts = tmp_path / "scores.csv", tmp_path / "alerts.jsonl"
    assert septum("detect", "--flows", flows, "--scores", scores, "--alerts", alerts) == 0
    said = capsys.readouterr()
    assert "flows.csv:53: 3 columns where 10 are named; row skipped" in said.err
    assert "1 alerts" in said.out
    lines = list(csv.DictReader(scores.open(encoding="utf-8")))
    rows = [int(line["row"]) for line in lines]
    assert rows == [i for i in range(len(lines) + 1) if i != 51]
    assert all(0.0 <= float(line["score"]) <= 1.0 for line in lines)
    (alert,) = [json.loads(line) for line in alerts.read_text(encoding="utf-8").splitlines()]
    flagged = [int(line["row"]) for line in lines if line["alert"] == "1"]
    assert alert["records"][-1] == flagged[0]
    assert (alert["host"], alert["kind"]) == (WEB[0], "scan")
    total = sum(part["contribution"] for part in alert["features"])
    assert abs(total - alert["raw"]) < 1e-9


def test_the_same_seed_gives_the_same_bytes(flows: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for out in outs:
        assert septum("detect", "--flows", flows, "--scores", out, "--seed", 5) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_json_summary(flows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert septum("detect", "--flows", flows, "--scores", tmp_path / "s.csv", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["bad_rows"] == 1
    assert [a["kind"] for a in summary["alerts"]] == ["scan"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--internal", "10.x"), "--internal 10.x: not a network"),
        (("--alert-budget", "0"), "--alert-budget"),
    ],
)
def test_wrong_options_are_one_line(
    more: tuple[str, str],
    said: str,
    flows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert septum("detect", "--flows", flows, "--scores", tmp_path / "s.csv", *more) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_failed_run_leaves_old_scores_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, flows = tmp_path / "scores.csv", tmp_path / "bad.csv"
    scores.write_text("old", encoding="utf-8")
    flows.write_text("ts,src_ip,dst_ip\nx,y,z\n", encoding="utf-8")
    assert septum("detect", "--flows", flows, "--scores", scores) == 2
    assert "bad.csv:2:" in capsys.readouterr().err
    assert scores.read_text(encoding="utf-8") == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.csv", "scores.csv"]
    assert septum("detect", "--flows", tmp_path / "none", "--scores", scores) == 2
    assert "No such file" in capsys.readouterr().err

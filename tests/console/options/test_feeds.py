"""Feeds count wherever a policy is asked without a controller, or it is said that they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import run

POLICY = """apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: p}
hosts: {a: {ip: 10.0.0.1, labels: {r: a}}}
segments: {a: {members: [{labels: {r: a}}], mode: enforce}}
intents:
  - {name: out, from: a, to: unknown, services: [tcp/443, tcp/80]}
  - {name: in, from: unknown, to: a, services: [tcp/1]}
  - {name: fire, from: a, to: unknown, services: [tcp/22], tier: emergency}
defaults: {action: deny, mode: enforce}
feeds: [{name: drop, path: drop.txt, format: cidr-list, mode: MODE}]
"""
FLOWS = """ts,src_ip,dst_ip,proto,src_port,dst_port,state
1709301234.5,10.0.0.1,203.0.113.9,tcp,40222,443,established
1709301235.5,10.0.0.1,198.51.100.9,tcp,40223,443,established
1709301236.5,10.0.0.1,198.51.100.9,tcp,40224,8443,established
1709301237.5,10.0.0.1,203.0.113.10,tcp,40225,80,established
1709301238.5,10.0.0.1,203.0.113.10,tcp,40226,22,established
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.csv").write_text(FLOWS)
    (tmp_path / "drop.txt").write_text("203.0.113.0/24 ; one\n198.51.100.9:8443\n")
    return tmp_path


def totals(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[dict[str, int], str]:
    run(["policy", "simulate", "p.yaml", "--flows", "flows.csv", "--json", *args])
    out, err = capsys.readouterr()
    return {k: n for k, n in json.loads(out)["connections"].items() if n}, err


def test_an_enforced_feed_stops_what_the_policy_allows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("MODE", "enforce"))
    found, told = totals(capsys)
    assert (found, told) == ({"newly-blocked": 3, "allowed": 2}, "")


def test_an_audited_feed_records(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("MODE", "audit"))
    found, _ = totals(capsys)
    assert found == {"newly-blocked": 1, "would-deny": 2, "allowed": 2}


def test_a_feed_of_the_other_policy_counts_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("MODE", "observe"))
    (folder / "old.yaml").write_text(POLICY.replace("MODE", "enforce"))
    found, _ = totals(capsys, "--against", "old.yaml")
    assert found == {"newly-allowed": 2, "blocked": 1, "allowed": 2}


def test_trace_and_replay_judge_by_it_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("MODE", "enforce"))
    ends = ["--from", "a", "--to", "203.0.113.9", "--service"]
    assert run(["policy", "trace", "p.yaml", *ends, "tcp/443"]) == 0
    assert "deny by feed drop" in capsys.readouterr().out
    assert run(["policy", "trace", "p.yaml", *ends, "tcp/22"]) == 0
    assert "allow by fire" in capsys.readouterr().out
    assert run(["replay", "--policy", "p.yaml", "--flows", "flows.csv"]) == 0
    assert "2 allow, 3 deny" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent.txt", "absent.txt: No such file or directory"),
        ("page.txt", "page.txt: 1 of 1 entries cannot be read"),
        (
            '"https://feeds.example/x?token=SECRET"',
            "comes from a server (https://feeds.example/x?…)",
        ),
    ],
)
def test_what_is_not_looked_at_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], path: str, reason: str
) -> None:
    (folder / "page.txt").write_text("<html>sign in</html>\n")
    text = POLICY.replace("MODE", "enforce").replace("drop.txt", path)
    (folder / "p.yaml").write_text(text)
    found, told = totals(capsys)
    assert "feed 'drop' is not looked at" in told and reason in told and "SECRET" not in told
    assert found == {"newly-blocked": 1, "allowed": 4}


def test_check_warns_of_a_file_that_is_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("MODE", "enforce"))
    assert run(["policy", "check", "p.yaml", "--strict"]) == 0
    (folder / "drop.txt").unlink()
    capsys.readouterr()
    assert run(["policy", "check", "p.yaml", "--strict"]) == 1
    assert "drop.txt" in capsys.readouterr().out


@pytest.mark.threat("feed-limits")
@pytest.mark.parametrize(
    ("scheme", "mode", "warned"),
    [("http", "enforce", True), ("https", "enforce", False), ("http", "audit", False)],
)
def test_an_enforced_feed_over_http_is_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str], scheme: str, mode: str, warned: bool
) -> None:
    url = f'"{scheme}://feeds.example/x?token=secret"'
    (folder / "p.yaml").write_text(POLICY.replace("drop.txt", url).replace("MODE", mode))
    run(["policy", "check", "p.yaml"])
    said = capsys.readouterr().out
    assert ("is not encrypted" in said) is warned
    assert "not encrypted: whoever is on the way" in said or not warned

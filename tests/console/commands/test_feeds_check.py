"""``septum feeds check``: one file, offline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from console.cli import run

Check = Callable[..., tuple[int, str]]

POLICY = """apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: p}
hosts:
  dns: {mac: "00:00:00:00:00:01", ip: [203.0.113.53], switch: 1, port: 1}
segments:
  servers: {members: [{host: dns}], mode: enforce}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [quarantine], protected: [{host: dns}]}
"""


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The exit code of ``septum feeds check ARGS``, and all that it printed."""

    def command(*args: str) -> tuple[int, str]:
        code = run(["feeds", "check", *args])
        return code, "".join(capsys.readouterr())

    return command


@pytest.fixture
def feed(tmp_path: Path) -> str:
    path = tmp_path / "drop.txt"
    path.write_text("198.51.100.0/24\n203.0.113.53\n127.0.0.1\nnonsense\n")
    return str(path)


def test_what_would_be_in_force_and_what_is_refused(
    check: Check, feed: str, tmp_path: Path
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(POLICY)
    code, output = check(feed, "--format", "cidr-list", "--policy", str(policy))
    assert code == 0, output
    assert "3 read, 1 in force (1 prefix), 2 refused, 1 unread, 0 passed over" in output
    assert "2: 203.0.113.53/32: it covers a protected host" in output
    assert "3: 127.0.0.1/32: loopback" in output
    assert "4: nonsense: no address, network or range" in output
    assert "in force: 198.51.100.0/24" in output


def test_without_a_policy_it_says_what_was_not_looked_at(check: Check, feed: str) -> None:
    _, output = check(feed, "--format", "cidr-list")
    assert "in force: 203.0.113.53/32" in output
    assert "were not looked at" in output


def test_as_json(check: Check, feed: str) -> None:
    data = json.loads(check(feed, "--format", "cidr-list", "--json")[1])
    assert data["usable"] is True
    assert data["listings"] == [
        {
            "service": None,
            "direction": "any",
            "prefixes": ["198.51.100.0/24", "203.0.113.53/32"],
        }
    ]
    assert data["unread"]["reasons"] == {"no address, network or range": 1}


def test_a_feed_that_cannot_be_used_is_exit_code_1(check: Check, feed: str) -> None:
    code, output = check(feed, "--format", "stix2")
    assert code == 1
    assert "not JSON" in output


@pytest.mark.parametrize("args", [("nowhere.txt", "--format", "csv"), (".", "--format", "csv")])
def test_no_file_is_an_input_error(check: Check, args: tuple[str, ...]) -> None:
    assert check(*args)[0] == 2


def test_an_unknown_format_names_those_there_are(check: Check, feed: str) -> None:
    code, output = check(feed, "--format", "taxii")
    assert code == 2
    assert "cidr-list, csv, json, stix2" in output


@pytest.mark.threat("feed-limits")
def test_the_limits_of_a_policy_are_those_of_the_command(check: Check, tmp_path: Path) -> None:
    path, old = tmp_path / "drop.txt", tmp_path / "old.txt"
    path.write_text("198.51.100.1\n198.51.100.9\n10.1.1.1\n")
    _, output = check(str(path), "--format", "cidr-list")
    assert "1 private or ours" in output and "2 in force" in output
    _, output = check(str(path), "--format", "cidr-list", "--may-list-own")
    assert "3 in force" in output
    code, output = check(str(path), "--format", "cidr-list", "--max-share", "0.0000000001")
    assert code == 1 and "max_share permits" in output
    path.write_text("\n".join(f"9.9.{n >> 8}.{n & 255}" for n in range(1_100)))
    old.write_text("\n".join(f"9.8.{n >> 8}.{n & 255}" for n in range(1_100)))
    code, output = check(str(path), "--format", "cidr-list", "--before", str(old))
    assert code == 1 and "changes by 100 %" in output
    code, _ = check(str(path), "--format", "cidr-list", "--before", str(old), "--max-change", "1.5")
    assert code == 0

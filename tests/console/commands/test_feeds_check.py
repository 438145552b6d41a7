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

"""Intents that no packet can match, and hosts called by somebody else's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.language.reader import load_policy
from policies.review.lint import check_policy

BASE = """apiVersion: septum/v1
kind: SegmentPolicy
defaults: {action: deny, mode: enforce}
hosts:
  new: {switch: 1, port: 1, labels: {r: new}}
  four: {mac: "00:00:00:00:00:04", ip: 10.0.0.4, labels: {r: four}}
segments:
  six: {members: [{cidr: "2001:db8:1::/64"}]}
  six2: {members: [{cidr: "2001:db8:2::/64"}]}
  nets4: {members: [{cidr: 192.0.2.0/24}]}
  four: {members: [{labels: {r: four}}]}
  both: {members: [{cidr: 198.51.100.0/24}, {cidr: "2001:db8:3::/64"}]}
  port: {members: [{switch: 2, port: 7}]}
  new: {members: [{labels: {r: new}}]}
intents:
  - {name: all, from: any, to: any, services: tcp/1}
"""


def families(tmp_path: Path, intent: str) -> list[str]:
    file = tmp_path / "p.yaml"
    file.write_text(BASE + f"  - {{name: x, {intent}}}\n")
    return [d.message for d in check_policy(load_policy([file])) if d.code == "family"]


@pytest.mark.parametrize(
    ("intent", "words"),
    [
        ("from: six, to: six2, services: icmp/echo-request", "share IPv6 only"),
        ("from: six, to: six2, services: [icmp, icmp/echo-request]", "share IPv6 only"),
        ("from: nets4, to: both, services: icmpv6", "share IPv4 only"),
        ("from: six, to: nets4, services: tcp/443", "from IPv6 to IPv4"),
        ("from: nets4, to: six, services: any, action: deny", "from IPv4 to IPv6"),
        ("from: four, to: [six, six2], services: any", "from IPv4 to IPv6"),
    ],
)
def test_ends_that_cannot_use_a_service(tmp_path: Path, intent: str, words: str) -> None:
    (message,) = families(tmp_path, intent)
    assert message.startswith("intent 'x' can never decide: ") and words in message


@pytest.mark.parametrize(
    "intent",
    [
        "from: six, to: six2, services: icmpv6/echo-request",
        "from: six, to: six2, services: ping",
        "from: [six, nets4], to: nets4, services: icmp",
        "from: any, to: six, services: tcp",
        "from: [unknown, nets4], to: six, services: tcp",
        "from: port, to: six, services: tcp",
        "from: new, to: six, services: tcp",
        "from: four, to: four, services: icmpv6",
        "from: both, to: six, services: tcp",
        "from: any, to: any, services: icmpv6",
    ],
)
def test_ends_that_may(tmp_path: Path, intent: str) -> None:
    assert families(tmp_path, intent) == []


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("10.0.0.9", True),
        ("10.0.0.4", True),
        ('"2001:db8::9"', True),
        ("10.0.0.5", False),
        ("h-10.0.0.9", False),
    ],
)
def test_hosts_called_by_an_address(tmp_path: Path, name: str, warned: bool) -> None:
    file = tmp_path / "p.yaml"
    text = BASE.replace(
        "segments:", f"  {name}: {{ip: 10.0.0.5, labels: {{r: four}}}}\nsegments:", 1
    )
    file.write_text(text)
    found = [d for d in check_policy(load_policy([file])) if d.code == "name"]
    assert len(found) == int(warned)
    assert all(name.strip('"') in d.message for d in found)

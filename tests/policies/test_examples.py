"""The examples that ship: without a warning, and doing what their own tests say."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.cli import run
from policies.language.packet_queries import PacketQueries, QueryError, run_tests
from policies.language.reader import load_policy, read_policy
from policies.review.lint import check_policy
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge

EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"
NOW = 1_800_000_000.0


@pytest.mark.parametrize("name", ["shop.yaml", "office", "plant.yaml", "lab.yaml"])
def test_example(name: str) -> None:
    result = read_policy([EXAMPLES / name])
    assert result.diagnostics == ()
    policy = result.policy
    assert policy is not None
    membership = Membership(policy)
    assert check_policy(policy, membership, NOW) == ()
    outcomes = run_tests(policy, Judge(policy, membership), NOW)
    assert len(outcomes) >= 10
    assert [str(outcome) for outcome in outcomes if not outcome.passed] == []
    assert {outcome.test.expect for outcome in outcomes} == {"allow", "deny"}


@pytest.mark.parametrize("name", ["shop.yaml", "office", "plant.yaml", "lab.yaml"])
def test_example_by_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / name)
    assert run(["policy", "check", "--strict", "--table-size", "1000", path]) == 0
    assert run(["policy", "test", path]) == 0
    assert capsys.readouterr().err == ""


def test_every_example_is_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith("_")}
    assert names == {"shop.yaml", "office", "plant.yaml", "lab.yaml"}


TESTED = """apiVersion: septum/v1
kind: SegmentPolicy
defaults: {mode: enforce}
hosts:
  a: {ip: [10.0.0.1, "fd00::1"]}
  b: {ip: [10.0.0.2]}
  c: {ip: ["fd00::3"]}
segments: {s: {members: [{cidr: 10.0.0.0/24}]}}
services: {ping: [icmp/echo-request, icmpv6/echo-request]}
intents: [{name: i, from: s, to: s, services: [tcp/80-89, ping]}]
tests:
"""


@pytest.mark.parametrize(
    ("test", "passed"),
    [
        ("{from: a, to: b, service: tcp/80, expect: allow}", True),
        ("{from: a, to: b, service: tcp/80, expect: deny}", False),
        ("{from: a, to: b, service: tcp/80-89, expect: allow}", True),
        ("{from: a, to: b, service: tcp/80-90, expect: allow}", False),
        ("{from: a, to: b, service: tcp/90-99, expect: deny}", True),
        ("{from: a, to: b, service: any, expect: deny}", False),
        ("{from: b, to: a, service: ping, expect: allow}", True),
        ("{from: b, to: a, service: icmpv6/echo-request, expect: allow}", False),
        ("{from: b, to: c, service: tcp/80, expect: allow}", False),
        ("{from: a, to: a, service: tcp/80, expect: allow}", False),  # IPv6 has no allow
    ],
)
def test_a_test_holds_for_all_addresses_and_ports_or_fails(
    tmp_path: Path, test: str, passed: bool
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(TESTED + f"- {test}\n")
    policy = load_policy([file])
    outcomes = run_tests(policy, Judge(policy, Membership(policy)), NOW)
    assert [outcome.passed for outcome in outcomes] == [passed]


@pytest.mark.parametrize(
    ("origin", "target", "service", "words"),
    [
        ("a", "nobody", "tcp/1", "no host of the policy and no address"),
        ("aa", "b", "tcp/1", "did you mean 'a'?"),
        ("a", "b", "tcp", "many ports"),
        ("a", "b", "any", "many ports"),
        ("a", "b", "tcp/1-2", "name one from 1 on"),
        ("a", "b", "ping", "several: name one of icmp/8, icmpv6/128"),
        ("a", "b", "pong", "did you mean 'ping'?"),
        ("a", "b", "tcp/x", "not a port"),
        ("b", "c", "tcp/1", "no address family in common"),
        ("a", "b", "icmpv6/1", "no address family in common"),
    ],
)
def test_questions_that_name_nothing(
    tmp_path: Path, origin: str, target: str, service: str, words: str
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(TESTED + "- {from: a, to: b, service: tcp/80, expect: allow}\n")
    with pytest.raises(QueryError) as raised:
        PacketQueries(load_policy([file])).packet(origin, target, service)
    assert words in str(raised.value)

"""What `diff` says has changed is what changed, for every pair and service."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from console.commands.policy import diff as diff_command
from policies.compiler import SwitchView, compile_switch, declared_bindings
from policies.model import (
    TCP,
    Action,
    Connection,
    Defaults,
    Host,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
)
from policies.review import diff as difference
from policies.review.diff import differences
from policies.review.rule_diff import rule_changes
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from tests.support.random_policies import HOSTS, connections, policies

NOW = 1_000_000.0
SHOP = Path(__file__).parents[3] / "policies/examples/shop.yaml"


def named(policy: Policy, members: Membership, asked: Connection) -> bool:
    """Whether an intent between these two ends names the protocol."""

    def meets(names: tuple[str, ...], segments: frozenset[str]) -> bool:
        return bool(segments.intersection(names) or "any" in names) or (
            "unknown" in names and not segments
        )

    return any(
        service.proto == asked.proto
        for intent in policy.intents
        for service in intent.services
        if meets(intent.sources, members.segments_of(asked.src))
        and meets(intent.targets, members.segments_of(asked.dst))
    )


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(policies(), policies(), st.booleans(), st.lists(connections(), min_size=1, max_size=5))
def test_differences_are_the_verdicts_that_change(
    old: Policy, other: Policy, only_intents: bool, asked: list[Connection]
) -> None:
    new = replace(old, intents=other.intents) if only_intents else other
    found = differences(old, new, NOW)
    members = Membership(old), Membership(new)
    judges = Judge(old, members[0]), Judge(new, members[1])
    for connection in asked:
        before, after = (judge.verdict(connection, NOW) for judge in judges)
        changed = (before.action, before.forwarded) != (after.action, after.forwarded)
        ends = [
            tuple(frozenset(each.segments_of(end)) for each in members)
            for end in (connection.src, connection.dst)
        ]
        other_protocol = not any(
            named(*each, connection) for each in zip((old, new), members, strict=True)
        )
        saying = [
            each
            for each in found
            if each.source.example.version == connection.src.version
            and [
                (frozenset(side.before), frozenset(side.after))
                for side in (each.source, each.target)
            ]
            == ends
            and any(
                other_protocol or each.every
                if service.proto is None
                else service.matches(connection.proto, connection.port)
                for service in each.services
            )
        ]
        assert len(saying) == changed
        for each in saying:
            assert (each.before.action, each.before.forwarded) == (before.action, before.forwarded)
            assert (each.after.action, each.after.forwarded) == (after.action, after.forwarded)


@settings(max_examples=50, deadline=None)
@given(policies())
def test_a_policy_does_not_differ_from_itself(policy: Policy) -> None:
    assert differences(policy, policy, NOW) == ()
    reordered = replace(policy, intents=policy.intents[::-1])
    assert differences(policy, reordered, NOW) == ()


def test_examples_of_a_difference_are_such_a_pair() -> None:
    old = Policy("p", HOSTS, (), (), (), Defaults(Action.DENY, Mode.ENFORCE))
    new = replace(old, intents=(Intent("open", ("any",), ("any",), (Service(TCP, 22, 22),)),))
    found = differences(old, new, NOW)
    assert {each.kind for each in found} == {"opened"}
    assert {each.source.example.version for each in found} == {4, 6}
    assert [each.service_names for each in found] == [("tcp/22",)] * 2
    judge = Judge(new, Membership(new))
    for each in found:
        asked = Connection(each.source.example, each.target.example, TCP, 22)
        assert judge.verdict(asked, NOW).action is Action.ALLOW


@settings(max_examples=30, deadline=None)
@given(policies(), policies())
def test_rule_changes_turn_one_into_the_other(old: Policy, new: Policy) -> None:
    view = SwitchView(1, (2, 4, 6, 9), frozenset({9}), {2: 9})
    change = rule_changes(old, new, {1: (view, view)}, NOW)[1]
    before, after = (
        {
            rule.key: rule
            for rule in compile_switch(
                policy, Membership(policy), view, declared_bindings(policy), NOW
            )
        }
        for policy in (old, new)
    )
    for rule in change.removed:
        del before[rule.key]
    before.update((rule.key, rule) for rule in change.added)
    assert before == after


def run(*words: str) -> int:
    app = typer.Typer()
    app.callback()(lambda: None)
    diff_command.register(app)
    try:
        app(["diff", *words], standalone_mode=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_tells_pairs_rules_and_whether_anything_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "shop.yaml"
    other.write_text(SHOP.read_text().replace("postgres: [tcp/5432]", "postgres: [tcp/5433]"))
    assert run(str(SHOP), str(SHOP)) == 0
    assert "no verdict changes" in capsys.readouterr().out
    assert run(str(SHOP), str(other)) == 1
    out = capsys.readouterr().out
    assert "may newly talk:\n  app,shop -> db,shop: tcp/5433, deny by default before, allow" in out
    assert "may no longer talk:\n  app,shop -> db,shop: tcp/5432, allow by app-to-db before" in out
    assert run(str(SHOP), str(other), "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in data["pairs"]} == {"opened", "closed"}
    assert all(each["added"] and each["removed"] for each in data["switches"])


def test_too_many_pairs_are_said_by_who_decides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form says that something changes exactly where the long one does."""
    hosts = tuple(
        Host(f"h{n}", f"02:00:00:00:00:{n:02x}", (ip_address(f"10.0.0.{n}"),), 1, n)
        for n in range(1, 4)
    )
    segments = tuple(
        Segment(f"s{n}", (Selector(host=f"h{n}"),), mode)
        for n, mode in ((1, Mode.ENFORCE), (2, Mode.AUDIT), (3, None))
    )
    shut = Intent("shut", ("s1",), ("s3",), (Service(6, 22, 22),), Action.DENY)
    every = Intent("every", ("s2",), ("any",), (Service(),))
    old = Policy("p", hosts, segments, (), (shut, every), Defaults(Action.DENY, Mode.AUDIT))
    for defaults in (
        Defaults(Action.ALLOW, Mode.AUDIT),
        Defaults(Action.DENY, Mode.ENFORCE),
        Defaults(Action.ALLOW, Mode.ENFORCE),
        Defaults(Action.DENY, Mode.AUDIT),
    ):
        new = replace(old, defaults=defaults)
        long = differences(old, new, 0.0)
        monkeypatch.setattr(difference, "MANY", 0)
        short = differences(old, new, 0.0)
        monkeypatch.undo()
        ways = [{(each.before, each.after) for each in some} for some in (long, short)]
        assert ways[0] == ways[1]
        assert bool(long) == bool(short) and len(short) <= len(long)

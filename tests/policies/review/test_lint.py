"""Warnings: each kind where it belongs, and none where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.language.reader import load_policy
from policies.review.lint import check_policy
from policies.semantics.membership import Membership
from topology.records import Binding

BASE = """apiVersion: septum/v1
kind: SegmentPolicy
defaults: {mode: enforce}
hosts:
  w: {ip: 10.0.0.1, labels: {role: web, env: prod}}
  x: {ip: 10.0.0.2, labels: {role: web, env: test}}
  d: {ip: 10.0.0.3, labels: {role: db, env: prod}}
  p: {switch: 1, port: 4}
segments:
  web: {members: [{labels: {role: web}}], adapt: auto}
  prodweb: {members: [{labels: {role: web, env: prod}}]}
  db: {members: [{labels: {role: db}}], adapt: propose}
"""
REACH = "- {name: zz, from: unknown, to: [web, db], services: ip/99}\n"


def warnings(tmp_path: Path, text: str, now: float | None = None) -> list[tuple[str, int]]:
    file = tmp_path / "p.yaml"
    file.write_text(BASE + text)
    return [(d.code, d.source.line) for d in check_policy(load_policy([file]), now=now)]


def intents(tmp_path: Path, *lines: str, now: float | None = None) -> list[tuple[str, int]]:
    """Warnings about intents; the first of ``lines`` is line 15 of the file."""
    rows = "".join(f"- {{{line}}}\n" for line in lines)
    found = warnings(tmp_path, "intents:\n" + REACH + rows, now)
    return [(code, line - 14) for code, line in found]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # A deny in its own tier, or anything in a higher one, takes all that an allow names.
        (
            ["name: a, from: web, to: db, services: tcp/1",
             "name: b, from: any, to: db, services: tcp, action: deny"],
            [("shadowed", 1)],
        ),
        (
            ["name: a, from: prodweb, to: db, services: tcp/1",
             "name: b, from: web, to: db, services: tcp/1-9, tier: security"],
            [("shadowed", 1)],
        ),
        (
            ["name: a, from: web, to: db, services: tcp/1, action: deny, tier: baseline",
             "name: b, from: web, to: db, services: any"],
            [("shadowed", 1)],
        ),
        # Several together may shadow where none does alone.
        (
            ["name: a, from: web, to: db, services: tcp/1-9",
             "name: b, from: web, to: db, services: tcp/1-5, action: deny",
             "name: c, from: web, to: db, services: tcp/5-9, action: deny"],
            [("shadowed", 1)],
        ),
        (
            ["name: a, from: [web, db], to: db, services: tcp/1",
             "name: b, from: web, to: db, services: tcp/1, action: deny",
             "name: c, from: db, to: db, services: tcp/1, action: deny"],
            [("shadowed", 1)],
        ),
        # Not all of it: part of the ports, part of the sources, or not as long.
        (
            ["name: a, from: web, to: db, services: tcp/1-9",
             "name: b, from: web, to: db, services: tcp/1-8, action: deny"],
            [],
        ),
        (
            ["name: a, from: web, to: db, services: tcp/1",
             "name: b, from: prodweb, to: db, services: tcp/1, action: deny"],
            [],
        ),
        (
            ["name: a, from: web, to: db, services: tcp/1",
             "name: b, from: web, to: db, services: tcp/1, action: deny,"
             " expires: 2030-01-01T00:00:00Z"],
            [],
        ),
        (
            ["name: a, from: web, to: db, services: tcp/1, expires: 2029-01-01T00:00:00Z",
             "name: b, from: web, to: db, services: tcp/1, action: deny,"
             " expires: 2030-01-01T00:00:00Z"],
            [("shadowed", 1)],
        ),
        # A deny does not mind a deny beside it, nor an allow below it.
        (
            ["name: a, from: web, to: db, services: tcp/1, action: deny",
             "name: b, from: web, to: db, services: tcp, action: deny",
             "name: c, from: web, to: any, services: tcp/3, tier: baseline, action: deny"],
            [],
        ),
        # An allow that another covers; of two equal ones the lower.
        (
            ["name: a, from: prodweb, to: db, services: tcp/1",
             "name: b, from: web, to: db, services: [tcp/1, tcp/2]"],
            [("covered", 1)],
        ),
        (
            ["name: b, from: web, to: db, services: tcp/1",
             "name: a, from: web, to: db, services: tcp/1"],
            [("covered", 2)],
        ),
        (
            ["name: a, from: prodweb, to: db, services: tcp/1, log: true",
             "name: b, from: web, to: db, services: [tcp/1, tcp/2]"],
            [],
        ),
        (
            ["name: a, from: web, to: db, services: tcp/1",
             "name: b, from: web, to: db, services: tcp/1, tier: baseline"],
            [("shadowed", 2)],
        ),
    ],
)  # fmt: skip
def test_intents_that_leave_others_nothing(
    tmp_path: Path, lines: list[str], expected: list[tuple[str, int]]
) -> None:
    assert intents(tmp_path, *lines) == expected


def test_an_expired_intent_shadows_nothing_and_is_named_itself(tmp_path: Path) -> None:
    old = "name: b, from: web, to: db, services: tcp/1, action: deny, expires: 2030-01-01T00:00:00Z"
    new = "name: a, from: web, to: db, services: tcp/1, expires: 2029-01-01T00:00:00Z"
    assert intents(tmp_path, new, old, now=1.0) == [("shadowed", 1)]
    assert intents(tmp_path, new, old, now=2e9) == [("expired", 1), ("expired", 2)]


def test_a_clean_policy_has_no_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, "intents:\n" + REACH) == []


def test_segments_nobody_is_in_or_can_reach(tmp_path: Path) -> None:
    text = (
        "  none: {members: []}\n"
        "  spare: {members: [{switch: 9, port: 9}]}\n"
        "  waiting: {members: [{host: p}]}\n"
        "  net: {members: [{cidr: 10.9.0.0/16}]}\n"
        "intents:\n" + REACH
    )
    assert warnings(tmp_path, text) == [
        ("empty-segment", 13),
        ("unreachable", 14),
        ("unreachable", 15),
        ("unreachable", 16),
    ]


def test_a_default_of_allow_reaches_everyone(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(BASE.replace("{mode: enforce}", "{mode: enforce, action: allow}"))
    assert check_policy(load_policy([file])) == ()


def test_a_shadowed_allow_reaches_nobody(tmp_path: Path) -> None:
    text = "intents:\n" + REACH + (
        "- {name: a, from: any, to: [web, db], services: tcp}\n"
        "- {name: b, from: any, to: any, services: any, action: deny, tier: security}\n"
    )  # fmt: skip
    found = [code for code, _ in warnings(tmp_path, text)]
    assert sorted(found) == ["shadowed", "shadowed"] + ["unreachable"] * 3


def test_a_segment_closed_on_purpose_is_no_oversight(tmp_path: Path) -> None:
    text = "intents:\n- {name: a, from: web, to: db, services: tcp}\n"
    closed = "- {name: c, from: any, to: [web, prodweb], services: any, action: deny}\n"
    unreachable = [("unreachable", 10), ("unreachable", 11)]
    assert warnings(tmp_path, text) == unreachable
    assert warnings(tmp_path, text + closed) == []
    assert warnings(tmp_path, text + closed.replace("any, to", "db, to")) == unreachable
    assert (
        warnings(tmp_path, text + closed.replace("services: any", "services: tcp")) == unreachable
    )


def test_labels_that_match_nobody(tmp_path: Path) -> None:
    text = (
        "  one: {members: [{labels: {role: mail}}, {host: d}]}\n"
        "  two: {members: [{labels: {role: db, env: test}}, {host: d}]}\n"
        "  far: {members: [{labels: {role: db}, cidr: 10.9.0.0/16}, {host: d}]}\n"
        "intents:\n" + REACH
    )
    assert warnings(tmp_path, text) == [("nobody", 13), ("nobody", 14), ("nobody", 15)]


def test_a_protected_host_in_an_auto_segment(tmp_path: Path) -> None:
    text = "intents:\n" + REACH + "adaptive: {protected: [{host: w}, {host: d}]}\n"
    assert warnings(tmp_path, text) == [("protected-auto", 15)]


def test_bindings_count_as_members(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(BASE + "  spare: {members: [{switch: 9, port: 9}]}\nintents:\n" + REACH)
    policy = load_policy([file])
    found = Binding("02:00:00:00:00:01", "10.8.0.1", 9, 9)
    codes = [d.code for d in check_policy(policy, Membership(policy, [found]))]
    assert codes == ["unreachable"]

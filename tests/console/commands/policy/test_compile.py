"""Compiling for each kind of switch from the command line: formats, losses, table sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from console.commands.policy import compile as compile_command
from console.errors import CommandError
from policies.compiler import SwitchView, declared_bindings
from policies.compiler.targets import LOSSES, TABLES, SwitchTarget, overflows, rules_for
from policies.language.reader import load_policy
from policies.semantics.membership import Membership
from topology.fabric import Fabric
from topology.records import Link

SHOP = str(Path(__file__).parents[4] / "policies/examples/shop.yaml")


def run(*words: str) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    compile_command.register(app)
    app(["compile", SHOP, "--switch", "1", "--link", "1:77=2:77", *words], standalone_mode=False)


@pytest.mark.parametrize("target", list(SwitchTarget))
def test_every_target_prints_the_same_rules_in_every_format(
    target: SwitchTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--target", target.value, "--at", "0")
    run(*words)
    text, errors = capsys.readouterr()
    run(*words)
    assert capsys.readouterr().out == text, "same policy, same bytes"
    assert errors.splitlines() == [f"{target.value}: {loss}" for loss in LOSSES[target]]
    run(*words, "--format", "json")
    data = json.loads(capsys.readouterr().out)
    assert [each["text"] for each in data] == text.splitlines()
    assert {each["table_name"] for each in data} <= {t.name.lower() for t in TABLES[target]}
    run(*words, "--format", "count")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["total", str(len(data))]


def test_a_table_that_is_too_small_is_named_with_what_fills_it() -> None:
    with pytest.raises(CommandError) as caught:
        run("--target", "stateless", "--table-size", "20")
    assert caught.value.code == 1
    text = str(caught.value)
    assert text.startswith("switch 1: table guard holds 20 rules and needs ")
    assert "what hosts may send (" in text
    run("--target", "stateless", "--table-size", "100000")


def test_only_tables_with_a_size_can_be_too_small() -> None:
    policy = load_policy([SHOP])
    bindings = declared_bindings(policy)
    rules = rules_for(
        SwitchTarget.STATELESS, policy, Membership(policy), SwitchView(1), bindings, 0.0
    )
    assert overflows(SwitchTarget.STATELESS, policy, rules, {}) == ()
    (only,) = overflows(SwitchTarget.STATELESS, policy, rules, {9: 5})
    assert (only.table, only.size) == ("policy", 5)
    assert all(what.startswith("intent ") for what, _ in only.biggest)


@pytest.mark.parametrize("target", list(SwitchTarget))
def test_no_rule_names_a_field_twice(target: SwitchTarget) -> None:
    """OpenFlow refuses a match with a field twice, though `ovs-ofctl` reads it."""
    policy = load_policy([SHOP])
    bindings = declared_bindings(policy)
    fabric = Fabric.of([Link(1, 77, 2, 77)])
    ports = tuple(sorted({b.port for b in bindings if b.switch == 1} | {77}))
    view = SwitchView(1, ports, fabric.trunks(1), fabric.next_ports(1))
    for rule in rules_for(target, policy, Membership(policy, bindings), view, bindings, 0.0):
        names = [field.name for field in rule.match]
        assert len(names) == len(set(names)), rule

"""``septum policy verify``: its exit codes and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from console.commands.policy.verify import register
from console.errors import CommandError
from policies.compiler import SwitchView, compile_switch, declared_bindings
from policies.language.reader import load_policy
from policies.rules.layout import RuleTable
from policies.rules.ovs_text import ovs_lines
from policies.semantics.membership import Membership
from policies.verify import RuleTextError

SHOP = str(Path(__file__).parents[4] / "policies" / "examples" / "shop.yaml")


def run(*arguments: str, given: str | None = None) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, ["verify", *arguments], input=given)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    policy = load_policy([SHOP])
    bindings = declared_bindings(policy)
    ports = tuple(sorted({each.port for each in bindings if each.switch == 1}))
    rules = compile_switch(policy, Membership(policy), SwitchView(1, ports), bindings, 0.0)
    return ovs_lines(rules).splitlines()


def test_what_is_compiled_is_proven() -> None:
    result = run(SHOP, "--link", "1:90=2:91")
    assert result.exit_code == 0, result.output
    assert "proven: every packet" in result.output and "2 switches" in result.output
    assert "--link" not in result.output
    assert "no cables are given" in run(SHOP).output


def test_where_no_switch_has_rules_nothing_is_called_proven(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "apiVersion: septum/v1\nkind: SegmentPolicy\nmetadata: {name: p}\n"
        "segments: {a: {members: [{cidr: 10.0.0.0/24}], mode: enforce}}\n"
        "intents: [{name: i, from: a, to: a, services: [tcp/1]}]\n"
        "defaults: {action: deny, mode: audit}\n"
    )
    result = run(str(policy))
    assert result.exit_code == 0, result.output
    assert "nothing to prove" in result.output and "proven:" not in result.output


def test_a_lost_rule_is_shown_with_packet_intent_and_rule(lines: list[str]) -> None:
    policy_table = f"table={int(RuleTable.POLICY)},"
    lost = next(i for i, line in enumerate(lines) if policy_table in line and "reg2=" in line)
    given = "\n".join(lines[:lost] + lines[lost + 1 :])
    result = run(SHOP, "--switch", "1", "--rules", "-", given=given)
    assert result.exit_code == 1
    for part in ("packet:", "in port:", "intent:", "shop.yaml:", "rule:", "ofproto/trace"):
        assert part in result.output
    found = json.loads(run(SHOP, "--switch", "1", "--rules", "-", "--json", given=given).output)
    (example,) = found["counterexamples"]
    assert not found["holds"] and found["switches"] == [1]
    assert example["initiator"] and example["responder"] and example["intent"]
    assert example["direction"] in ("new", "reply")


@pytest.mark.parametrize(
    ("arguments", "given", "error"),
    [
        (("--switch", "9"), None, CommandError),
        (("--rules", "-"), "x", CommandError),
        (("--switch", "1", "--rules", "-"), "nothing here", CommandError),
        (("--switch", "1", "--rules", "-"), "priority=1,actions=unknown", RuleTextError),
        (("--link", "1-2"), None, CommandError),
    ],
)
def test_input_that_cannot_be(
    arguments: tuple[str, ...], given: str | None, error: type[Exception]
) -> None:
    assert isinstance(run(SHOP, *arguments, given=given).exception, error)

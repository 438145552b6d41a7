"""``septum policy verify``: prove that rules implement the intents, for every packet."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from console.clients.state_directory import opened
from console.errors import NO, CommandError
from console.options.network import DescribedSwitches, Links, SwitchesFile
from console.options.policy import At, IncludeRoot, Json, Paths, count, loaded, moment, print_json
from console.views.overlay_rules import overlay_rules
from policies.compiler import declared_bindings
from policies.compiler.targets import TABLES, Form, RulesOfAll, SwitchTarget
from policies.model import Policy
from policies.rules.ovs_text import ovs_text
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.verify import Counterexample, Proof, read_rules
from policies.verify.network import prove_network
from policies.verify.overlay_rules import faults, is_beside
from policies.verify.probe import example_lines, packet_text, trace_command


def register(policy_app: typer.Typer) -> None:
    policy_app.command("verify")(verify)


def verify(
    policy: Paths,
    switch: Annotated[
        list[int] | None,
        typer.Option(help="Only this switch (datapath id); repeatable. Default: all."),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            help="Prove these rules of the one --switch, not those compiled: text of "
            "`policy compile --format ovs` or `ovs-ofctl dump-flows`; - reads standard input."
        ),
    ] = None,
    target: Annotated[
        SwitchTarget | None,
        typer.Option(help="The kind of rules. Default: from --switches, or else stateful."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="With --rules, also compare what decisions, feeds and retained intents add with "
            "this state directory of a controller. Default: such rules are ignored."
        ),
    ] = None,
    switches: SwitchesFile = None,
    link: Links = None,
    limit: Annotated[int, typer.Option(min=1, help="Counterexamples to look for per switch.")] = 1,
    as_json: Json = False,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Prove that rules implement the intents, for all packets.

    Exit 0: proven; 1: a packet is treated differently (it is printed, with the intent and the
    rule), or a part is not covered (it is named).

    Example:

        septum policy verify policies/examples/shop.yaml

        ovs-ofctl --no-stats dump-flows s1 | septum policy verify P --switch 1 --rules -

        ovs-ofctl --no-stats dump-flows s1 | septum policy verify P --switch 1 --rules - --state DIR
    """
    found = loaded(policy, include_root)
    now = moment(at)
    bindings = declared_bindings(found)
    membership = Membership(found, bindings)
    network = DescribedSwitches.of(switches, link)
    known = network.known(found)
    chosen = switch or list(known)
    if strange := [each for each in chosen if each not in known]:
        raise CommandError(f"--switch {strange[0]}: no host or link of the policy is on it")
    forms = {each: network.setting(each).form for each in chosen}
    if target is not None:
        forms = {each: replace(form, target=target) for each, form in forms.items()}
    views = {each: network.view(found, each) for each in chosen}
    if rules is not None:
        if len(chosen) != 1:
            raise CommandError("--rules are those of one switch: name it with --switch")
        read = _read(rules)
        given = {chosen[0]: tuple(rule for rule in read if not is_beside(rule))}
    elif state is not None:
        raise CommandError("--state goes with --rules: what is compiled has no decisions in it")
    else:
        compiled = RulesOfAll(forms, found, membership, bindings, now)
        given = {number: compiled.rules(view) for number, view in views.items()}
    proof = prove_network(forms, found, membership, views, bindings, given, now, limit)
    if state is not None:
        with opened(state) as store:
            wanted = overlay_rules(store, found, views[chosen[0]], now)
        wrong = tuple(f"switch {chosen[0]}: {each}" for each in faults(wanted, read))
        proof = replace(proof, holds=proof.holds and not wrong, unproven=(*proof.unproven, *wrong))
    if as_json:
        print_json(_proof_data(proof, forms))
    else:
        _print(proof, given, found)
        if len(known) > 1 and not network.fabric.links:
            typer.echo("no cables are given: what comes from other switches is not part of this")
    raise typer.Exit(0 if proof.holds else NO)


def _read(path: str) -> tuple[Rule, ...]:
    """Rules from a file."""
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    found = tuple(read_rules(text.splitlines()))
    if not found:
        raise CommandError(f"--rules {path}: no rules in it; give text of `ovs-ofctl dump-flows`")
    return found


def _print(proof: Proof, given: dict[int, tuple[Rule, ...]], policy: Policy) -> None:
    for example in proof.counterexamples:
        typer.echo("\n".join(example_lines(example, policy)) + "\n")
    for problem in proof.unproven:
        typer.echo(f"not proven: {problem}")
    total = sum(len(rules) for rules in given.values())
    what = f"{count(len(given), 'switch').replace('switchs', 'switches')}, {count(total, 'rule')}"
    if not given:
        typer.echo("nothing to prove: no host of the policy names a switch, so none has rules")
    elif proof.holds:
        typer.echo(f"proven: every packet is treated as the policy says ({what})")
    else:
        examples = count(len(proof.counterexamples), "counterexample")
        typer.echo(f"not proven: {examples} ({what})")


def _proof_data(proof: Proof, forms: Mapping[int, Form]) -> dict[str, Any]:
    return {
        "holds": proof.holds,
        "switches": sorted(forms),
        "unproven": list(proof.unproven),
        "statistics": dict(proof.statistics),
        "counterexamples": [
            _example_data(example, TABLES[forms[example.switch].target])
            for example in proof.counterexamples
        ],
    }


def _example_data(example: Counterexample, tables: type[IntEnum]) -> dict[str, Any]:
    asked = example.connection
    return {
        "switch": example.switch,
        "in_port": example.in_port,
        "direction": example.direction,
        "packet": packet_text(example.packet),
        "ct_state": example.ct_state,
        "initiator": None if asked is None else str(asked.src),
        "responder": None if asked is None else str(asked.dst),
        "protocol": None if asked is None else asked.proto,
        "port": None if asked is None else asked.port,
        "intent": example.intent,
        "rule": None if example.rule is None else ovs_text(example.rule),
        "rules": [f"{tables(each.table).name.lower()}: {ovs_text(each)}" for each in example.rules],
        "differences": list(example.differences),
        "trace": trace_command(example),
    }

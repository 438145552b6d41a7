"""``septum policy verify``: whether rules mean what the intents say, for every packet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from console.errors import NO, CommandError
from console.network_options import Links, Network, SwitchesFile
from console.policy_options import At, Json, Paths, count, loaded, moment, print_json
from policies.compiler import Compiler, declared_bindings
from policies.compiler.targets import Target
from policies.layout import Category, Table, category_of
from policies.membership import Membership
from policies.model import Policy
from policies.prove import Counterexample, Proof, Prover, read_rules
from policies.prove.probe import packet_text, trace_command
from policies.render import ovs_text
from policies.rules import Rule


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
    switches: SwitchesFile = None,
    link: Links = None,
    limit: Annotated[int, typer.Option(min=1, help="Counterexamples to look for per switch.")] = 1,
    as_json: Json = False,
    at: At = None,
) -> None:
    """Prove that rules mean what the intents say, for all packets.

    Exit 0: proven; 1: a packet is treated otherwise (it is printed, with the intent and the
    rule), or a part could not be covered (it is named).

    Example:

        septum policy verify policies/examples/shop.yaml

        ovs-ofctl --no-stats dump-flows s1 | septum policy verify P --switch 1 --rules -
    """
    found = loaded(policy)
    now = moment(at)
    bindings = declared_bindings(found)
    membership = Membership(found, bindings)
    network = Network.of(switches, link)
    known = network.known(found)
    chosen = switch or list(known)
    if strange := [each for each in chosen if each not in known]:
        raise CommandError(f"--switch {strange[0]}: no host or link of the policy is on it")
    if plain := [s for s in chosen if network.setting(s).target is not Target.STATEFUL]:
        kind = network.setting(plain[0]).target.value
        raise CommandError(f"switch {plain[0]} is {kind}: only stateful rules can be proven")
    views = {each: network.view(found, each) for each in chosen}
    if rules is not None:
        if len(chosen) != 1:
            raise CommandError("--rules are those of one switch: name it with --switch")
        given = {chosen[0]: _read(rules)}
    else:
        compiler = Compiler(found, membership, bindings, now)
        given = {number: compiler.rules(view, now) for number, view in views.items()}
    proof = Prover(found, membership, views, bindings, now, limit).prove(given)
    if as_json:
        print_json(_proof_data(proof, given))
    else:
        _print(proof, given, found)
        if len(known) > 1 and not network.fabric.links:
            typer.echo("no cables are given: what comes from other switches is not part of this")
    raise typer.Exit(0 if proof.holds else NO)


def _read(path: str) -> tuple[Rule, ...]:
    """Rules from a file; what machine decisions, feeds and kept intents add is left out, for the
    policy does not name it."""
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    found = tuple(read_rules(text.splitlines()))
    if not found:
        raise CommandError(f"--rules {path}: no rules in it; give text of `ovs-ofctl dump-flows`")
    beside = (Category.DECISION, Category.FEED, Category.KEPT)
    return tuple(rule for rule in found if category_of(rule.cookie) not in beside)


def _print(proof: Proof, given: dict[int, tuple[Rule, ...]], policy: Policy) -> None:
    for example in proof.counterexamples:
        typer.echo("\n".join(example_lines(example, policy)) + "\n")
    for problem in proof.unproven:
        typer.echo(f"not proven: {problem}")
    total = sum(len(rules) for rules in given.values())
    what = f"{count(len(given), 'switch').replace('switchs', 'switches')}, {count(total, 'rule')}"
    if proof.holds:
        typer.echo(f"proven: every packet is treated as the policy says ({what})")
    else:
        examples = count(len(proof.counterexamples), "counterexample")
        typer.echo(f"not proven: {examples} ({what})")


def example_lines(example: Counterexample, policy: Policy) -> list[str]:
    """A counterexample, for a person."""
    lines = [f"switch {example.switch}: {difference}" for difference in example.differences]
    lines.append(f"  packet:     {packet_text(example.packet)}")
    lines.append(f"  in port:    {example.in_port}, direction {example.direction}")
    asked = example.connection
    if asked is not None:
        lines.append(
            f"  connection: {asked.src} to {asked.dst}, protocol {asked.proto}, port {asked.port}"
        )
        source = next((i.source for i in policy.intents if i.name == example.intent), None)
        name = f"{example.intent} ({source})" if source is not None else "none, the default decides"
        lines.append(f"  intent:     {name}")
    if example.rule is not None:
        lines.append(f"  rule:       {ovs_text(example.rule)}")
    lines.append(f"  check:      {trace_command(example)}")
    return lines


def _proof_data(proof: Proof, given: dict[int, tuple[Rule, ...]]) -> dict[str, Any]:
    return {
        "holds": proof.holds,
        "switches": sorted(given),
        "unproven": list(proof.unproven),
        "statistics": dict(proof.statistics),
        "counterexamples": [_example_data(example) for example in proof.counterexamples],
    }


def _example_data(example: Counterexample) -> dict[str, Any]:
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
        "rules": [f"{Table(each.table).name.lower()}: {ovs_text(each)}" for each in example.rules],
        "differences": list(example.differences),
        "trace": trace_command(example),
    }

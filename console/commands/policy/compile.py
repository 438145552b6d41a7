"""``septum policy compile``: one switch's rules, without a switch."""

from __future__ import annotations

import json
from collections import Counter
from enum import IntEnum
from typing import Annotated

import typer

from console.errors import NO, CommandError
from console.options.network import DescribedSwitches, Links, SwitchesFile
from console.options.policy import At, IncludeRoot, Paths, loaded, moment
from policies.compiler import declared_bindings
from policies.compiler.targets import LOSSES, TABLES, SwitchTarget, overflows, rules_for
from policies.rules.ovs_text import json_rule, ovs_lines
from policies.rules.rule import Rule
from policies.semantics.membership import Membership

FORMATS = ("ovs", "json", "count")


def register(policy_app: typer.Typer) -> None:
    policy_app.command("compile")(compile_policy)


def compile_policy(
    policy: Paths,
    switch: Annotated[int, typer.Option(help="Datapath id of the switch.")],
    format: Annotated[str, typer.Option(help="ovs, json or count.")] = "ovs",
    target: Annotated[
        SwitchTarget | None,
        typer.Option(
            help="stateful: Open vSwitch; stateless: OpenFlow 1.3 with several tables;"
            " single: one small table. Default: from --switches, or else stateful."
        ),
    ] = None,
    switches: SwitchesFile = None,
    link: Links = None,
    table_size: Annotated[
        int | None,
        typer.Option("--table-size", min=1, help="Rules that each table holds; exit 1 beyond."),
    ] = None,
    port_masks: Annotated[
        bool | None,
        typer.Option(
            "--port-masks/--no-port-masks",
            help="Whether the switch can mask ports in matches. Default: from --switches.",
        ),
    ] = None,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Print the rules that a switch gets from a policy.

    `ovs` is what `ovs-ofctl -O OpenFlow13 add-flows` reads; the meters that the rules name, two per
    port, must exist first. Hosts on other switches are reachable only with --link. What a target
    other than stateful loses is printed on standard error.

    Example:

        septum policy compile policies/examples/shop.yaml --switch 1 --format count
    """
    if format not in FORMATS:
        raise CommandError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    read = loaded(policy, include_root)
    network = DescribedSwitches.of(switches, link)
    setting = network.setting(switch)
    target = target or setting.target
    masks = setting.port_masks if port_masks is None else port_masks
    bindings = declared_bindings(read)
    rules = rules_for(
        target,
        read,
        Membership(read, bindings),
        network.view(read, switch),
        bindings,
        moment(at),
        port_masks=masks,
    )
    sizes = setting.sizes(target) if table_size is None else table_size
    if too_small := overflows(target, read, rules, sizes):
        raise CommandError(f"switch {switch}: {'; '.join(map(str, too_small))}", NO)
    for loss in LOSSES[target]:
        typer.echo(f"{target.value}: {loss}", err=True)
    if format == "ovs":
        typer.echo(ovs_lines(rules), nl=False)
    elif format == "json":
        typer.echo(json.dumps([json_rule(rule, TABLES[target]) for rule in rules], indent=1))
    else:
        typer.echo(count_text(rules, TABLES[target]), nl=False)


def count_text(rules: tuple[Rule, ...], tables: type[IntEnum]) -> str:
    counts = Counter(rule.table for rule in rules)
    lines = [f"{tables(table).name.lower():15} {counts[table]:7}" for table in sorted(counts)]
    return "\n".join([*lines, f"{'total':15} {len(rules):7}"]) + "\n"

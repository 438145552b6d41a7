"""``septum policy compile``: one switch's rules, without a switch."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated

import typer

from console.errors import NO, CommandError
from policies.compiler import SwitchView, declared_bindings
from policies.compiler.targets import LOSSES, TABLES, Target, overflows, rules_for
from policies.membership import Membership
from policies.model import Policy
from policies.reader import load_policy
from policies.render import json_rule, ovs_lines
from policies.rules import Rule
from topology.fabric import Fabric
from topology.records import Link

FORMATS = ("ovs", "json", "count")


def register(policy_app: typer.Typer) -> None:
    policy_app.command("compile")(compile_policy)


def compile_policy(
    policy: Annotated[list[str], typer.Argument(help="Policy files or directories.")],
    switch: Annotated[int, typer.Option(help="Datapath id of the switch.")],
    format: Annotated[str, typer.Option(help="ovs, json or count.")] = "ovs",
    target: Annotated[
        Target,
        typer.Option(
            help="stateful: Open vSwitch; stateless: OpenFlow 1.3 with several tables;"
            " single: one small table."
        ),
    ] = Target.STATEFUL,
    link: Annotated[
        list[str] | None,
        typer.Option(help="A cable between switches, SWITCH:PORT=SWITCH:PORT; repeatable."),
    ] = None,
    table_size: Annotated[
        int | None,
        typer.Option("--table-size", min=1, help="Rules that each table holds; exit 1 beyond."),
    ] = None,
    port_masks: Annotated[
        bool,
        typer.Option(
            "--port-masks/--no-port-masks", help="Whether a plain switch masks ports in matches."
        ),
    ] = True,
    at: Annotated[
        float | None, typer.Option(help="Compile as of this time (seconds since the epoch).")
    ] = None,
) -> None:
    """Print the rules that a switch gets from a policy.

    `ovs` is what `ovs-ofctl -O OpenFlow13 add-flows` reads; the meters that the rules name, one
    per port, must be there first. The way to hosts on other switches is known only from --link.
    What a target other than stateful loses is said on standard error.

    Example:

        septum policy compile policies/examples/shop.yaml --switch 1 --format count
    """
    if format not in FORMATS:
        raise CommandError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    read = load_policy(policy)
    now = time.time() if at is None else at
    view = view_of(read, switch, fabric_of(link or []))
    bindings = declared_bindings(read)
    rules = rules_for(target, read, Membership(read), view, bindings, now, port_masks=port_masks)
    if table_size is not None:
        too_small = overflows(target, read, rules, table_size)
        if too_small:
            raise CommandError(f"switch {switch}: {'; '.join(map(str, too_small))}", NO)
    for loss in LOSSES[target]:
        typer.echo(f"{target.value}: {loss}", err=True)
    if format == "ovs":
        typer.echo(ovs_lines(rules), nl=False)
    elif format == "json":
        typer.echo(json.dumps([json_rule(rule, TABLES[target]) for rule in rules], indent=1))
    else:
        typer.echo(count_text(rules, TABLES[target]), nl=False)


def fabric_of(links: Iterable[str]) -> Fabric:
    """The cables that ``--link`` names."""
    return Fabric.of(_link(text) for text in links)


def switches_of(policy: Policy) -> frozenset[int]:
    """The switches that the policy declares hosts on."""
    return frozenset(host.switch for host in policy.hosts if host.switch is not None)


def view_of(policy: Policy, switch: int, fabric: Fabric) -> SwitchView:
    """A switch with the ports that the policy declares and its cables."""
    ports = {host.port for host in policy.hosts if host.switch == switch and host.port is not None}
    trunks = fabric.trunks(switch)
    return SwitchView(switch, tuple(sorted(ports | trunks)), trunks, fabric.next_ports(switch))


def count_text(rules: tuple[Rule, ...], tables: type[IntEnum]) -> str:
    counts = Counter(rule.table for rule in rules)
    lines = [f"{tables(table).name.lower():15} {counts[table]:7}" for table in sorted(counts)]
    return "\n".join([*lines, f"{'total':15} {len(rules):7}"]) + "\n"


def _link(text: str) -> Link:
    try:
        ends = [int(part, 0) for end in text.split("=") for part in end.split(":")]
        return Link(*ends)
    except (TypeError, ValueError) as error:
        raise CommandError(f"--link {text}: write SWITCH:PORT=SWITCH:PORT, as 1:3=2:4") from error

"""``septum policy recommend``: a least-privilege policy from observed traffic."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from console.errors import CommandError
from console.options.policy import count, present, print_json
from console.options.recording import Flows, Form, NoDecapsulate, recorded
from console.views.tables import listed
from policies.language import scalars
from policies.language.errors import printable
from policies.language.reader import load_policy
from policies.model import Host, Mode, Network
from policies.recommendation import Recommendation, policy_text, recommend
from policies.recommendation.evidence import service_of
from policies.recommendation.writing import kinds
from policies.review.recorded_traffic import RecordedTraffic
from topology.home_networks import PRIVATE

MODES = tuple(mode.name.lower() for mode in Mode)
_SHOWN = 20


def register(policy_app: typer.Typer) -> None:
    policy_app.command("recommend")(recommend_policy)


def recommend_policy(
    flows: Flows,
    inventory: Annotated[
        str | None,
        typer.Option("--inventory", help="Hosts with labels: CSV, or a policy that has them."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the policy to this file.")
    ] = None,
    inside: Annotated[
        list[str] | None,
        typer.Option("--inside", help="A network of ours; repeatable. Default: detected."),
    ] = None,
    rare: Annotated[
        float,
        typer.Option("--rare", help="Share of connections that may be excluded for being rare."),
    ] = 0.005,
    mode: Annotated[str, typer.Option("--mode", help="Mode of the policy's defaults.")] = "audit",
    form: Form = "auto",
    no_decapsulate: NoDecapsulate = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print figures and exclusions as JSON.")
    ] = False,
) -> None:
    """Write the smallest policy that allows recorded traffic, and list what needs a decision.

    Hosts with the same behaviour become segments. Sweeps, unanswered connections and isolated
    single events are listed instead of allowed. Coverage is the share of the recorded connections
    that the policy allows; tightness is the share of allowed pairs and services that were seen.

    Example:

        septum policy recommend --flows flows.csv --inventory hosts.csv -o policy.yaml
    """
    if mode not in MODES:
        raise CommandError(f"--mode {printable(mode)}: choose one of {', '.join(MODES)}")
    if not 0 <= rare <= 1:
        raise CommandError(f"--rare {rare}: a share from 0 to 1")
    networks = [_network(text) for text in inside or ()]
    hosts = _hosts(inventory) if inventory else ()
    traffic = recorded(flows, form, not no_decapsulate)
    if not traffic.carried and not traffic.blocked:
        raise CommandError(f"{printable(flows)}: no connection in it to recommend a policy from")
    found = recommend(traffic, hosts, networks, rare)
    include = _include(inventory, output) if inventory else None
    name = output.stem if output and output.stem else "recommended"
    text = policy_text(found, hosts, include, _name(name), Mode[mode.upper()])
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if as_json:
        print_json(_data(traffic, found, text if output is None else None))
    elif output is None:
        typer.echo(text, nl=False)
    else:
        _print(traffic, found, output)
        if include is not None and include.startswith(".."):
            root = Path(inventory or "").absolute().parent
            typer.echo(f"the inventory lies outside its folder: use it with --include-root {root}")


def _network(text: str) -> Network:
    try:
        return scalars.network(text)
    except ValueError as problem:
        raise CommandError(f"--inside {printable(str(problem))}") from None


def _name(text: str) -> str:
    try:
        return scalars.name(text)
    except ValueError:
        return "recommended"


def _hosts(inventory: str) -> tuple[Host, ...]:
    """The hosts of an inventory, whether or not it is a policy; PolicyError if it is broken."""
    present([inventory])
    if Path(inventory).suffix.lower() != ".csv":
        return load_policy([inventory]).hosts
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "inventory.yaml"
        header.write_text("apiVersion: septum/v1\nkind: SegmentPolicy\n", encoding="utf-8")
        return load_policy([header, inventory]).hosts


def _include(inventory: str, output: Path | None) -> str | None:
    """A CSV inventory as the policy names it: relative to where the policy will stand."""
    if Path(inventory).suffix.lower() != ".csv":
        return None
    folder = Path.cwd() if output is None else output.absolute().parent
    return os.path.relpath(Path(inventory).absolute(), folder)


def _data(traffic: RecordedTraffic, found: Recommendation, text: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "records": traffic.records,
        "bad": traffic.bad,
        "unjudged": traffic.unjudged,
        "connections": found.connections,
        "coverage": found.coverage,
        "tightness": found.tightness,
        "seen": found.seen,
        "allowed": found.allowed,
        "roles": len(found.roles),
        "intents": len(found.allows),
        "inside": [str(network) for network in found.places.networks],
        "left_out": [
            {
                "reason": each.reason,
                "from": each.edge.client or "outside",
                "to": each.edge.server or "outside",
                "service": str(service_of(each.edge.port)),
                "connections": each.edge.connections,
                "failed": each.edge.failed,
            }
            for each in found.left_out
        ],
    }
    return data if text is None else {**data, "policy": text}


def _print(traffic: RecordedTraffic, found: Recommendation, output: Path) -> None:
    typer.echo(
        f"{printable(str(output))}: {count(len(found.roles), 'role')}, "
        f"{count(len(found.allows), 'intent')}"
    )
    if traffic.bad or traffic.unjudged:
        typer.echo(
            f"of {count(traffic.records, 'record')}, {traffic.bad} are bad and "
            f"{traffic.unjudged} name no protocol that a policy could judge"
        )
    typer.echo(f"coverage   {found.coverage:7.2%} of {count(found.connections, 'connection')}")
    typer.echo(f"tightness  {found.tightness:7.2%} of {found.allowed} pairs × services were seen")
    ours = sorted(set(map(str, found.places.networks)) - set(map(str, PRIVATE)))
    typer.echo(f"inside     {', '.join(ours) or 'private addresses'}")
    rows = kinds(found.left_out)
    if rows:
        typer.echo("left out, for a person to decide:")
    shown, left = listed(rows, _SHOWN)
    for row in shown:
        typer.echo(printable(f"  {row}"))
    if left:
        typer.echo(f"  and {left} more (in a pipe all are listed)")

"""``septum hosts``: where hosts are, how that is known, and forgetting a discovered one."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from console.clients.controller import ask_controller
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, who_asks
from console.views.tables import print_table

Host = Annotated[str, typer.Argument(help="MAC, address or name of a discovered host.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(list_hosts)
    group.command("forget")(forget)
    app.add_typer(group, name="hosts")


def list_hosts(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List hosts with their ports: declared in the policy, or found by their packets.

    Example:

        septum hosts list --state ./septum-state
    """
    hosts = ask_controller(state, {"do": "status"})["hosts"]
    if as_json:
        typer.echo(json.dumps(hosts, indent=1))
        return
    print_table(
        ("host", "mac", "address", "switch", "port", "known"),
        (
            (
                each.get("host", ""),
                each["mac"],
                each["ip"],
                str(each["switch"]),
                str(each["port"]),
                each["known"],
            )
            for each in hosts
        ),
    )


def forget(host: Host, state: State = DEFAULT_STATE) -> None:
    """Forget a discovered host: its rules go, and its next packet counts as that of a new host.

    Declared hosts are changed in the policy. It is recorded in the audit.

    Example:

        septum hosts forget 02:00:00:00:00:09
    """
    ask_controller(state, {"do": "forget", "host": host, "by": who_asks()})
    typer.echo(f"{host} is forgotten")

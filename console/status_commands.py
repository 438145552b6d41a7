"""``septum status`` and ``septum switches``: what a running controller knows of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from console.controller import ask_controller

State = Annotated[Path, typer.Option(help="State directory of the controller.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STATE = Path("septum-state")


def register(app: typer.Typer) -> None:
    app.command("status")(status)
    app.command("switches")(switches)


def status(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """One screen about a running controller: policy, switches, hosts, decisions, what was lost.

    Example:

        septum status --state ./septum-state
    """
    answer = ask_controller(state, {"do": "status"})
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
        return
    analysis = answer["analysis"]
    learner = "off"
    if analysis is not None:
        learner = "ready" if analysis["ready"] else "starting"
        learner += f", restarted {analysis['restarts']} times"
    lost = ", ".join(f"{count} {what}" for what, count in answer["lost"].items() if count)
    typer.echo(f"policy     {answer['policy']['name']} ({', '.join(answer['policy']['files'])})")
    typer.echo(f"switches   {_switch_line(answer['switches'])}")
    typer.echo(f"hosts      {len({each['mac'] for each in answer['hosts']})}")
    typer.echo(f"decisions  {', '.join(answer['decisions']) or 'none active'}")
    typer.echo(f"analysis   {learner}")
    typer.echo(f"lost       {lost or 'nothing'}")


def _switch_line(found: list[dict[str, Any]]) -> str:
    ready = sum(1 for each in found if each["phase"] == "ready")
    return f"{ready} of {len(found)} ready"


def switches(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Connected switches: rules, what was sent to them, ports that lead to other switches.

    Example:

        septum switches --state ./septum-state
    """
    answer = ask_controller(state, {"do": "status"})
    if as_json:
        typer.echo(json.dumps(answer["switches"], indent=1))
        return
    table = Table("switch", "state", "rules", "flow-mods", "refused", "trunks", "at connect")
    for each in answer["switches"]:
        table.add_row(
            str(each["switch"]),
            each["phase"],
            str(each["rules"]),
            str(each["flow_mods"]),
            str(each["failures"]),
            ", ".join(str(port) for port in each["trunks"]) or "none",
            each["difference"],
        )
    Console().print(table)

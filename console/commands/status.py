"""``septum status``: the state of a running controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.clock.steady import time_in
from analysis.clock.steps import LEAST, standing
from console.clients.analysis_socket import ask_analysis
from console.clients.controller import ask_controller
from console.clients.state_directory import moment, who_asks
from console.commands.feeds import feed_data, feed_line, records_of
from console.commands.models import caution_line, learned_line, model_health
from console.commands.switches import full_line
from console.errors import CommandError
from console.terminal import one_line
from console.views.exporters import exporter_lines
from console.views.lost_in_words import losses_in_words
from console.views.placement_line import placement_line
from console.views.proof_line import proof_line
from console.views.storage_lines import checkpoint_lines, storage_lines
from console.views.tables import listed
from policies.language.errors import printable
from response.ipc.messages import Ask

State = Annotated[Path, typer.Option(help="State directory of the controller.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STATE = Path("septum-state")
SHOWN = 8  # differences from the inventory on a terminal: it is one screen
CHECK_TIMEOUT = 20.0  # seconds: longer than a switch may take to be read
SHOWN_RULES = 20  # of each kind and switch, on a terminal


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show one screen about a running controller: policy, switches, hosts, decisions, losses.

    Lines that begin with `inventory` say what is not where the policy has it: a switch that is not
    connected, a port that a switch does not have, a host on another port or with another MAC.

    Example:

        septum status --state ./septum-state
    """
    answer = ask_controller(state, {"do": "status"})
    feeds, now = records_of(state), time_in(state)
    model = _model_of(state)
    if as_json:
        answer["model"] = model
        answer["feeds"] = [feed_data(each, now) for each in feeds]
        typer.echo(json.dumps(answer, indent=1))
        return
    analysis = answer["analysis"]
    learner = "off"
    if analysis is not None:
        learner = "ready" if analysis["ready"] else "starting"
        learner += f", restarted {analysis['restarts']} times"
        if analysis["hangs"]:
            learner += f", {analysis['hangs']} of them since it hung; last: {analysis['last_end']}"
    typer.echo(f"policy     {answer['policy']['name']} ({', '.join(answer['policy']['files'])})")
    typer.echo(f"version    {_version(answer['policy'])}")
    typer.echo(f"switches   {_switch_line(answer['switches'])}")
    line = proof_line(answer["proof"], answer["policy"]["version"], now)
    typer.echo(f"proof      {one_line(line)}")
    differences, left = listed(answer["inventory"], SHOWN)
    for each in differences:
        typer.echo(f"inventory  {one_line(placement_line(each))}")
    if left:
        typer.echo(f"           and {left} more (in a pipe all are listed)")
    typer.echo(f"hosts      {len({each['mac'] for each in answer['hosts']})}")
    typer.echo(f"decisions  {', '.join(answer['decisions']) or 'none active'}")
    for each in feeds:
        typer.echo(printable(f"feed       {feed_line(each, now)}"))
    for line in exporter_lines(answer["exporters"], now):
        typer.echo(f"exporter   {one_line(line)}")
    if answer.get("hold") is not None:
        by = f"by {answer['hold']} (`septum decisions hold off` ends it)"
        typer.echo(f"on hold    automatic action, {by}")
    typer.echo(f"analysis   {learner}")
    if model is not None:
        typer.echo(f"model      {learned_line(model)}; {caution_line(model)}")
        if model["not_restored"]:
            typer.echo(f"           {model['not_restored']}")
    for each in answer["switches"]:
        if each["table_full"] is not None:
            typer.echo(f"full       switch {each['switch']}: {full_line(each['table_full'], now)}")
    if any(answer["fabric"].values()):
        typer.echo(f"fabric     {_fabric_line(answer['fabric'])}")
    if abs(ahead := answer["clock"]["system_ahead"]) >= LEAST:
        typer.echo(f"clock      the system's clock is {standing(ahead)}")
    for place, each in answer["loops"].items():
        if each["failing"]:
            failed = f"{place}: {each['failures']} exceptions, the latest: {each['latest']}"
            typer.echo(printable(f"failing    {failed}"))
    for line in storage_lines(answer):
        typer.echo(f"storage    {line}")
    for line in checkpoint_lines(answer.get("checkpoints_sent", {})):
        typer.echo(printable(f"checkpoint {line}"))
    if answer["problem"]:
        typer.echo(f"problem    {answer['problem']}")
    for number, line in enumerate(losses_in_words(answer["lost"]) or ["nothing"]):
        typer.echo(f"{'lost' if not number else '':<11}{line}")


def _model_of(state: Path) -> dict[str, Any] | None:
    """The learners' health; None where no analysis of its own can be asked."""
    try:
        return model_health(ask_analysis(state, Ask("model-health", "", who_asks())))
    except CommandError:
        return None


def _fabric_line(counted: dict[str, int]) -> str:
    """What happened at ports that no policy names."""
    named = {
        "spoofed_packets": "spoofed packets",
        "undeclared_ports_up": "undeclared ports came up",
        "new_trunks": "new trunks",
        "refused_links": "links refused",
    }
    return ", ".join(f"{counted[key]:,} {text}" for key, text in named.items() if counted[key])


def _version(policy: dict[str, Any]) -> str:
    rollout = policy["rollout"]
    text = str(policy["version"])
    if rollout["pending"] is not None:
        until = moment(rollout["pending"]["deadline"])[:-4]
        text += f", back to {rollout['pending']['revert_to']} at {until} UTC unless confirmed"
    return text + (f"; {rollout['staged']} is staged" if rollout["staged"] else "")


def _switch_line(found: list[dict[str, Any]]) -> str:
    ready = sum(1 for each in found if each["phase"] == "ready")
    return f"{ready} of {len(found)} ready"

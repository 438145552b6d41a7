"""``septum status`` and ``septum switches``: the state of a running controller."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from console.clients.analysis_socket import ask_analysis
from console.clients.controller import ask_controller
from console.clients.state_directory import moment, who_asks
from console.commands.feeds import feed_data, feed_line, records_of
from console.commands.models import caution_line, learned_line, model_health
from console.errors import NO, CommandError
from console.terminal import one_line
from console.views.lost_in_words import losses_in_words
from console.views.tables import print_table
from policies.language.errors import printable
from response.ipc.messages import Ask

State = Annotated[Path, typer.Option(help="State directory of the controller.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STATE = Path("septum-state")
CHECK_TIMEOUT = 20.0  # seconds: longer than a switch may take to be read
SHOWN_RULES = 20  # of each kind and switch; --json has all


def register(app: typer.Typer) -> None:
    app.command("status")(status)
    app.command("switches")(switches)


def status(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show one screen about a running controller: policy, switches, hosts, decisions, losses.

    Lines that begin with `inventory` say what is not where the policy has it: a switch that is not
    connected, a port that a switch does not have, a host on another port or with another MAC.

    Example:

        septum status --state ./septum-state
    """
    answer = ask_controller(state, {"do": "status"})
    feeds, now = records_of(state), time.time()
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
    typer.echo(f"policy     {answer['policy']['name']} ({', '.join(answer['policy']['files'])})")
    typer.echo(f"version    {_version(answer['policy'])}")
    typer.echo(f"switches   {_switch_line(answer['switches'])}")
    for each in answer["inventory"]:
        typer.echo(f"inventory  {one_line(each['text'])}")
    typer.echo(f"hosts      {len({each['mac'] for each in answer['hosts']})}")
    typer.echo(f"decisions  {', '.join(answer['decisions']) or 'none active'}")
    for each in feeds:
        typer.echo(printable(f"feed       {feed_line(each, now)}"))
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
            typer.echo(f"full       switch {each['switch']}: {_full_line(each['table_full'])}")
    if any(answer["fabric"].values()):
        typer.echo(f"fabric     {_fabric_line(answer['fabric'])}")
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


def switches(
    check: Annotated[
        bool, typer.Option("--check", help="Compare every switch with the policy now.")
    ] = False,
    traffic: Annotated[
        bool, typer.Option("--traffic", help="Show packets and bytes by intent.")
    ] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List connected switches: rules, changes sent, ports to other switches.

    With `--check` each switch is read and compared: missing, extra and altered rules are listed,
    and the exit code is 1 if there are any, or if a switch could not be read. A running controller
    repairs such differences by itself within seconds; those repaired in the last three seconds are
    listed too.

    With `--traffic` the switches' counters are read: packets and bytes of both directions by
    intent, since the intent's rules were written, and the intents without traffic.

    Example:

        septum switches --check --state ./septum-state
    """
    if check and traffic:
        raise CommandError("--check and --traffic cannot be combined")
    if traffic:
        _traffic(ask_controller(state, {"do": "traffic"}, CHECK_TIMEOUT)["switches"], as_json)
        return
    if check:
        _check(ask_controller(state, {"do": "check"}, CHECK_TIMEOUT)["switches"], as_json)
        return
    answer = ask_controller(state, {"do": "status"})
    if as_json:
        typer.echo(json.dumps(answer["switches"], indent=1))
        return
    print_table(
        ("switch", "kind", "state", "rules", "flow-mods", "refused", "trunks", "drifts", "checked"),
        (
            (
                str(each["switch"]),
                each["kind"],
                each["phase"],
                str(each["rules"]),
                str(each["flow_mods"]),
                str(each["failures"]),
                ", ".join(str(port) for port in each["trunks"]) or "none",
                str(each["drifts"]),
                each["last_check"] or each["difference"],
            )
            for each in answer["switches"]
        ),
    )
    for each in answer["switches"]:
        if each["problem"]:
            typer.echo(f"switch {each['switch']}: {each['problem']}")
        if each["table_full"] is not None:
            typer.echo(f"switch {each['switch']}: {_full_line(each['table_full'])}")
        for text in each["odd_ports"]:
            typer.echo(f"switch {each['switch']} {text}")
        for rule in each["refused_rules"]:
            typer.echo(f"switch {each['switch']} refused: {rule}")
        for limit in each["limits"]:
            typer.echo(f"switch {each['switch']} cannot: {limit}")


def _full_line(full: dict[str, Any]) -> str:
    ago = max(0.0, time.time() - full["latest"])
    denied = f"at least {full['denied']} packets of new connections, the last {ago:.0f} s ago"
    return f"its connection table is full, it denied {denied}"


def _check(found: list[dict[str, Any]], as_json: bool) -> None:
    """Print the comparison of each switch; ends the command with 1 unless all are right."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    for each in () if as_json else found:
        typer.echo(f"switch {each['switch']}: {_check_line(each)}")
        for kind in ("missing", "extra", "altered"):
            rules = each.get(kind, ())
            for rule in rules[:SHOWN_RULES]:
                typer.echo(f"  {kind}: {rule}")
            if len(rules) > SHOWN_RULES:
                typer.echo(f"  {kind}: {len(rules) - SHOWN_RULES} more")
        for meter in each.get("meters", ()):
            typer.echo(f"  altered: meter {meter}")
    if not found:
        typer.echo("no switch is connected")
    if any(each["state"] != "right" for each in found):
        raise typer.Exit(NO)


def _traffic(found: list[dict[str, Any]], as_json: bool) -> None:
    """Print packets and bytes of each switch's rules, most bytes first."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for each in found:
        if each["failure"] is not None:
            typer.echo(f"switch {each['switch']}: not read: {each['failure']}")
            continue
        counted = each["connections"]["counted"]
        typer.echo(f"switch {each['switch']}: {counted} connections are counted now")
        carried = {**each["intents"], "(no intent)": each["default"]}
        used = sorted(carried, key=lambda name: (-carried[name]["bytes"], name))
        for name in used:
            if packets := carried[name]["packets"]:
                size = carried[name]["bytes"]
                typer.echo(printable(f"  {name}: {packets:,} packets, {size:,} bytes"))
        unused = [name for name, sums in each["intents"].items() if not sums["packets"]]
        if unused:
            typer.echo(printable(f"  unused: {', '.join(unused)}"))
    if not found:
        typer.echo("no switch is connected")


def _check_line(each: dict[str, Any]) -> str:
    if each["state"] == "unread":
        return f"not compared: {each['failure']}"
    counts = ", ".join(f"{len(each[kind])} {kind}" for kind in ("missing", "extra", "altered"))
    when = each["repaired_seconds_ago"]
    repaired = "" if when is None else f" (put right {when:g} s ago)"
    return f"{each['right']} rules right, {counts}{repaired}"

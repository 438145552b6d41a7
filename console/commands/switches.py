"""``septum switches``: switches of a running controller, listed, compared, released and taken."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from analysis.clock.steady import time_in
from console.clients.controller import ask_controller
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, who_asks
from console.errors import NO, CommandError
from console.views.tables import listed, print_table
from policies.compiler.switches_file import datapath_id
from policies.language.errors import printable
from proving.options import PATIENCE

CHECK_TIMEOUT = 20.0  # seconds: longer than a switch may take to be read
SHOWN_RULES = 20  # of each kind and switch, on a terminal

Switch = Annotated[str, typer.Argument(help="Datapath id of a switch, as 1 or 0x2a.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    group.callback()(switches)
    group.command("release")(release)
    group.command("take")(take)
    app.add_typer(group, name="switches")


def switches(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every switch with the policy now.")
    ] = False,
    prove: Annotated[
        bool,
        typer.Option("--prove", help="As --check, and prove the rules for every packet."),
    ] = False,
    traffic: Annotated[
        bool, typer.Option("--traffic", help="Show packets and bytes by intent, decision and feed.")
    ] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List connected switches: rules, changes sent, ports to other switches.

    With `--check` each switch is read and compared: missing, extra and altered rules are listed,
    and the exit code is 1 if there are any, or if a switch could not be read. A running controller
    repairs such differences by itself within seconds; those repaired in the last three seconds are
    listed too.

    With `--prove` those rules are proven besides: every packet is treated as the policy says. What
    was read is what was proven where the comparison finds no difference.

    With `--traffic` the switches' counters are read: packets and bytes of both directions by
    intent, since the intent's rules were written, and the intents without traffic; and what met the
    rules of decisions and feeds.

    Example:

        septum switches --check --state ./septum-state
    """
    if context.invoked_subcommand is not None:
        return
    if (check or prove) and traffic:
        raise CommandError("--traffic cannot be combined with --check or --prove")
    if traffic:
        _traffic(ask_controller(state, {"do": "traffic"}, CHECK_TIMEOUT)["switches"], as_json)
        return
    if prove:
        _prove(ask_controller(state, {"do": "prove"}, CHECK_TIMEOUT + PATIENCE), as_json)
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
    there = {str(each["switch"]) for each in answer["switches"]}
    for switch, by in answer["released"].items():
        if switch not in there:
            typer.echo(f"switch {switch}: released by {by}; not connected")
    for each in answer["switches"]:
        if each["problem"]:
            typer.echo(f"switch {each['switch']}: {each['problem']}")
        if each["table_full"] is not None:
            typer.echo(f"switch {each['switch']}: {full_line(each['table_full'], time_in(state))}")
        for text in each["odd_ports"]:
            typer.echo(f"switch {each['switch']} {text}")
        for rule in each["refused_rules"]:
            typer.echo(f"switch {each['switch']} refused: {rule}")
        for limit in each["limits"]:
            typer.echo(f"switch {each['switch']} cannot: {limit}")


def release(
    switch: Switch,
    normal: Annotated[
        bool,
        typer.Option("--normal", help="Leave one rule that forwards as a plain switch does."),
    ] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Hand a switch back: our rules, meters and marks are removed, and nothing else.

    The switch forwards nothing then, or with `--normal` like a plain learning switch, without any
    policy. The controller does not drive it again, also after a restart of either, until `septum
    switches take`. Both are in the audit.

    Example:

        septum switches release 0x2a --normal
    """
    number = _number(switch)
    request = {"do": "release", "switch": number, "normal": normal, "by": who_asks()}
    answer = ask_controller(state, request, CHECK_TIMEOUT)
    typer.echo(f"switch {number}: {answer['outcome']}")


def take(switch: Switch, state: State = DEFAULT_STATE) -> None:
    """Drive a released switch again: it gets its rules, and what is not ours is removed.

    Example:

        septum switches take 0x2a
    """
    number = _number(switch)
    request = {"do": "take", "switch": number, "by": who_asks()}
    connected = ask_controller(state, request)["connected"]
    typer.echo(f"switch {number} is taken again" + ("" if connected else " when it connects"))


def _number(switch: str) -> int:
    try:
        return int(datapath_id(switch))
    except ValueError as error:
        raise CommandError(str(error)) from error


def full_line(full: dict[str, Any], now: float) -> str:
    ago = max(0.0, now - full["latest"])
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
            shown, left = listed(rules, SHOWN_RULES)
            for rule in shown:
                typer.echo(f"  {kind}: {rule}")
            if left:
                typer.echo(f"  {kind}: {left} more (in a pipe all are listed)")
        for meter in each.get("meters", ()):
            typer.echo(f"  altered: meter {meter}")
    if not found:
        typer.echo("no switch is connected")
    if any(each["state"] not in ("right", "released") for each in found):
        raise typer.Exit(NO)


def _prove(answer: dict[str, Any], as_json: bool) -> None:
    """Print the comparison and the proof; ends the command with 1 unless both are right."""
    found, proof = answer["switches"], answer["proof"]
    right = bool(found) and all(each["state"] in ("right", "released") for each in found)
    if as_json:
        typer.echo(json.dumps({"switches": found, "proof": proof}, indent=1))
        raise typer.Exit(0 if right and proof["holds"] else NO)
    if proof["holds"]:
        typer.echo(
            f"proven in {proof['seconds']:.2g} s: every packet is treated as the policy says"
        )
    for line in proof["problems"]:
        typer.echo(printable(f"not proven: {line}"))
    _check(found, as_json)
    raise typer.Exit(0 if right and proof["holds"] else NO)


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
        for kind in ("decision", "feed"):
            carried |= {f"{kind} {name}": sums for name, sums in each[f"{kind}s"].items()}
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
    if each["state"] in ("unread", "released"):
        return f"not compared: {each['failure']}"
    counts = ", ".join(f"{len(each[kind])} {kind}" for kind in ("missing", "extra", "altered"))
    when = each["repaired_seconds_ago"]
    repaired = "" if when is None else f" (put right {when:g} s ago)"
    return f"{each['right']} rules right, {counts}{repaired}"

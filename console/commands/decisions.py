"""``septum decisions``: machine decisions, their reasons, and how people override them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from analysis.clock.steady import time_in
from console.clients.analysis_socket import ask_analysis
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, moment, opened, who_asks
from console.errors import NO, CommandError
from console.views.decision_story import Story, as_json_value, tell
from response.audit.log import Audit
from response.decision import MAX_TTL, Decision, DecisionState
from response.decisions.hold import HOLD, set_hold
from response.ipc.messages import Answer, Ask

Id = Annotated[str, typer.Argument(help="The decision's id, such as d1.")]
Note = Annotated[str, typer.Option(help="Why, for the audit.")]
STATES = ("proposed", "active", "released", "expired", "rejected")


def register(app: typer.Typer) -> None:
    decisions = typer.Typer(help="Machine decisions.", no_args_is_help=True)
    for name, function in (
        ("list", list_decisions),
        ("show", show),
        ("approve", approve),
        ("reject", reject),
        ("release", release),
        ("extend", extend),
        ("hold", hold),
        ("resume", resume),
    ):
        decisions.command(name)(function)
    app.add_typer(decisions, name="decisions")


def list_decisions(
    state: State = DEFAULT_STATE,
    only: Annotated[
        str | None, typer.Option(help=f"Only those that are {', '.join(STATES)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List all decisions, oldest first.

    Example:

        septum decisions list --only active
    """
    if only is not None and only not in STATES:
        raise CommandError(f"--only {only}: choose one of {', '.join(STATES)}")
    wanted: DecisionState | None = only  # type: ignore[assignment]
    with opened(state) as store:
        found = store.decisions(wanted)
        held_by = store.meta(HOLD)
    if held_by is not None:
        typer.echo(_held(held_by), err=as_json)
    if as_json:
        rows = [as_json_value(decision) for decision in found]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    if not found:
        typer.echo("no decisions")
        return
    now = time_in(state)
    typer.echo(_row("id", "state", "action", "target", "since (UTC)", "ends", "by", "why"))
    for each in found:
        since = moment(each.ts)[:-4]
        ends = _ends(each, now)
        typer.echo(
            _row(each.id, each.state, each.action, each.target, since, ends, each.by, each.why)
        )


def show(decision_id: Id, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show one decision: evidence, what was unusual, action, rules on switches, and what would
    release it.

    Example:

        septum decisions show d1
    """
    with opened(state) as store, store.reading():
        decision = store.decision(decision_id)
        if decision is None:
            raise CommandError(f"{decision_id}: no such decision in {state}", NO)
        history = tuple(Audit(store).entries(decision=decision_id))
        story = Story(decision, store.alert_of(decision_id), history, store.meta(HOLD))
    if as_json:
        typer.echo(json.dumps(story.as_json(), ensure_ascii=False, indent=1))
    else:
        for line in tell(story):
            typer.echo(line)


def approve(decision_id: Id, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Carry out a proposed decision; its time starts now.

    Example:

        septum decisions approve d2
    """
    _ask(state, Ask("approve", decision_id, who_asks()), as_json)


def reject(decision_id: Id, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Decline a proposed decision.

    Example:

        septum decisions reject d2
    """
    _ask(state, Ask("reject", decision_id, who_asks()), as_json)


def release(
    decision_id: Id, state: State = DEFAULT_STATE, note: Note = "", as_json: AsJson = False
) -> None:
    """End an active decision now: its rules are removed from the switches, and nothing else.

    Until its time would have ended, further decisions on that host are only proposed.

    Example:

        septum decisions release d1 --note "a scheduled scan"
    """
    _ask(state, Ask("release", decision_id, who_asks(), note), as_json)


def extend(
    decision_id: Id,
    state: State = DEFAULT_STATE,
    more: Annotated[
        str, typer.Option("--for", help="How long from now: 90s, 30m, 2h; at most 65535s.")
    ] = "15m",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Prolong an active decision; it never ends earlier than before.

    Example:

        septum decisions extend d1 --for 2h --note "still looking at it"
    """
    found = re.fullmatch(r"(\d{1,6})([smh])", more)
    if found is None:
        raise CommandError(f"--for {more}: write a time such as 90s, 30m or 2h")
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
    if not 0 < seconds <= MAX_TTL:
        raise CommandError(f"--for {more}: 1 to {MAX_TTL} seconds, which is what a switch can time")
    _ask(state, Ask("extend", decision_id, who_asks(), note, seconds), as_json)


def hold(
    switch: Annotated[str, typer.Argument(metavar="[on|off]", help="`off` ends it.")] = "on",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Stop all automatic action at once; further decisions are only proposed.

    Blocked hosts stay blocked until their decision ends or is released. The setting is stored in
    the state directory: it also works while the analysis is down, and survives restarts.

    Example:

        septum decisions hold on
    """
    if switch not in ("on", "off"):
        raise CommandError(f"hold {switch}: write on or off")
    _set_hold(state, switch == "on", as_json)


def resume(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Resume automatic action after `hold`.

    Example:

        septum decisions resume
    """
    _set_hold(state, False, as_json)


def _set_hold(state: Path, on: bool, as_json: bool) -> None:
    """Store the setting in the state directory, for running and later processes."""
    with opened(state) as store:
        done = set_hold(store, Audit(store), on, who_asks(), time_in(state))
    _say(Answer(done.ok, done.text), as_json)


def _ask(state: Path, ask: Ask, as_json: bool) -> None:
    answer = ask_analysis(state, ask)
    _say(answer, as_json)
    if not answer.ok:
        raise typer.Exit(NO)


def _say(answer: Answer, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": answer.ok, "text": answer.text}, ensure_ascii=False))
    else:
        typer.echo(answer.text)


def _held(by: str) -> str:
    return f"automatic action is on hold by {by} (`septum decisions hold off` ends it)"


def _row(*cells: str) -> str:
    widths = (6, 9, 11, 20, 20, 9, 10, 0)
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))


def _ends(decision: Decision, now: float) -> str:
    if decision.state not in ("active", "proposed"):
        return ""
    left = decision.expires - now
    return f"in {left:.0f} s" if left > 0 else "now"

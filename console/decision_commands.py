"""``septum decisions``: what the machine decided, why, and a person's word on it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from console.analysis_socket import ask_analysis
from console.decision_story import Story, as_json_value, tell
from console.errors import NO, CommandError
from console.state import DEFAULT_STATE, AsJson, State, moment, opened, who_asks
from response.audit import Audit
from response.decisions import Decision, DecisionState
from response.messages import Ask

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
    """All decisions, oldest first.

    Example:

        septum decisions list --only active
    """
    if only is not None and only not in STATES:
        raise CommandError(f"--only {only}: choose one of {', '.join(STATES)}")
    wanted: DecisionState | None = only  # type: ignore[assignment]
    with opened(state) as store:
        found = store.decisions(wanted)
        held_by = store.meta("hold")
    if as_json:
        rows = [as_json_value(decision) for decision in found]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    if held_by is not None:
        typer.echo(f"automatic action is on hold by {held_by} (`septum decisions resume` ends it)")
    if not found:
        typer.echo("no decisions")
        return
    now = time.time()
    typer.echo(_row("id", "state", "action", "target", "since (UTC)", "ends", "by", "why"))
    for each in found:
        since = moment(each.ts)[:-4]
        ends = _ends(each, now)
        typer.echo(
            _row(each.id, each.state, each.action, each.target, since, ends, each.by, each.why)
        )


def show(decision_id: Id, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """The whole story of one decision: what was seen, why it was unusual, what was done about
    it, where its rules are, and what would release it.

    Example:

        septum decisions show d1
    """
    with opened(state) as store, store.reading():
        decision = store.decision(decision_id)
        if decision is None:
            raise CommandError(f"{decision_id}: no such decision in {state}", NO)
        history = tuple(Audit(store).entries(decision=decision_id))
        story = Story(decision, store.alert_of(decision_id), history)
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
    """End an active decision now: its rules are taken off the switches, and nothing else is.

    Until its time would have been over, the machine asks before it blocks that host again.

    Example:

        septum decisions release d1 --note "a scheduled scan"
    """
    _ask(state, Ask("release", decision_id, who_asks(), note), as_json)


def hold(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Stop all automatic action: what would be done is proposed instead.

    Example:

        septum decisions hold
    """
    _ask(state, Ask("hold", "", who_asks()), as_json)


def resume(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let automatic action go on after `hold`.

    Example:

        septum decisions resume
    """
    _ask(state, Ask("resume", "", who_asks()), as_json)


def _ask(state: Path, ask: Ask, as_json: bool) -> None:
    answer = ask_analysis(state, ask)
    if as_json:
        typer.echo(json.dumps({"ok": answer.ok, "text": answer.text}, ensure_ascii=False))
    else:
        typer.echo(answer.text)
    if not answer.ok:
        raise typer.Exit(NO)


def _row(*cells: str) -> str:
    widths = (6, 9, 11, 20, 20, 9, 10, 0)
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))


def _ends(decision: Decision, now: float) -> str:
    if decision.state not in ("active", "proposed"):
        return ""
    left = decision.expires - now
    return f"in {left:.0f} s" if left > 0 else "now"

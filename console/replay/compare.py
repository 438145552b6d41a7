"""Two replays of one recording side by side: the first decision that differs, and the totals."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import typer

from console.clients.state_directory import moment
from console.options.policy import count
from console.replay.pipeline import Replay
from policies.language.errors import printable
from response.audit.chain import canonical
from response.decision import Decision

_ALL = 10**6
_VOLATILE = frozenset({"rules"})  # what switches confirm: there are none in a replay


def outcome(done: Replay) -> list[dict[str, Any]]:
    """Every decision with all its values, in order."""
    return [_told(each) for each in done.store.decisions()]


def digest(done: Replay) -> str:
    """SHA-256 over decisions, alerts and verdicts: equal where nothing at all differs."""
    alerts = [msgspec.to_builtins(each) for each in done.store.alerts(_ALL)]
    said = {"decisions": outcome(done), "alerts": alerts, "verdicts": dict(done.verdicts)}
    return hashlib.sha256(canonical(said).encode()).hexdigest()


@dataclass(slots=True)
class Compared:
    """``moved`` counts records by their two verdicts where these differ."""

    moved: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(self, one: str, other: str) -> None:
        if one != other:
            self.moved[one, other] += 1


def first_difference(one: Replay, other: Replay) -> dict[str, Any] | None:
    """The first decision, in order, that the other side does not have just so; None for none.

    ``fields`` names what differs; all of it where one side has no such decision at all.
    """
    ours, theirs = outcome(one), outcome(other)
    for index in range(max(len(ours), len(theirs))):
        a = ours[index] if index < len(ours) else None
        b = theirs[index] if index < len(theirs) else None
        if a != b:
            names = sorted({*(a or {}), *(b or {})})
            fields = [n for n in names if (a or {}).get(n) != (b or {}).get(n)]
            return {"index": index, "first": a, "second": b, "fields": fields}
    return None


def totals(done: Replay) -> dict[str, Any]:
    decisions = done.store.decisions()
    alerts = done.store.alerts(_ALL)
    return {
        "verdicts": dict(done.verdicts),
        "alerts": len(alerts),
        "decisions": len(decisions),
        "by_action": dict(sorted(Counter(each.action for each in decisions).items())),
        "by_state": dict(sorted(Counter(each.state for each in decisions).items())),
        "hosts": len({each.target for each in decisions}),
        "stopped": sum(each.stopped for each in done.enforced),
        "digest": digest(done),
    }


def comparison(one: Replay, other: Replay, compared: Compared) -> dict[str, Any]:
    """As ``--json`` shows it."""
    sides = totals(one), totals(other)
    return {
        "same": sides[0]["digest"] == sides[1]["digest"],
        "first_difference": first_difference(one, other),
        "first": sides[0],
        "second": sides[1],
        "verdicts_changed": [
            {"first": a, "second": b, "records": number}
            for (a, b), number in sorted(compared.moved.items())
        ],
    }


def tell(data: dict[str, Any], records: int) -> None:
    """The comparison for people."""
    typer.echo(f"{count(records, 'record')} replayed twice")
    if data["same"]:
        typer.echo(f"the same, bit for bit: sha256 {data['first']['digest']}")
    found = data["first_difference"]
    if found is None:
        typer.echo("no decision differs")
    else:
        typer.echo(f"the first decision that differs is number {found['index'] + 1}:")
        for name in ("first", "second"):
            typer.echo(printable(f"  {name:<7} {_line(found[name])}"))
        if found["first"] is not None and found["second"] is not None:
            typer.echo(f"  differs in {', '.join(found['fields'])}")
    typer.echo(f"{'':<12}{'first':>10}{'second':>10}")
    for name in ("alerts", "decisions", "hosts", "stopped"):
        typer.echo(f"{name:<12}{data['first'][name]:>10}{data['second'][name]:>10}")
    for verdict in data["first"]["verdicts"]:
        a, b = (data[side]["verdicts"].get(verdict, 0) for side in ("first", "second"))
        if a or b:
            typer.echo(f"{verdict:<12}{a:>10}{b:>10}")
    for moved in data["verdicts_changed"]:
        typer.echo(f"{moved['first']} -> {moved['second']}: {count(moved['records'], 'record')}")


def _told(decision: Decision) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(decision)
    return {name: value for name, value in data.items() if name not in _VOLATILE}


def _line(told: dict[str, Any] | None) -> str:
    if told is None:
        return "no such decision"
    when, what = moment(told["ts"]), f"{told['action']} of {told['target']}"
    return f"{when}  {told['id']}: {what}, {told['state']}, {told['ttl']} s; {told['why']}"

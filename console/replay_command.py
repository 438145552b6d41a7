"""``septum replay``: the whole pipeline over recorded traffic."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from console.decision_story import as_json_value
from console.errors import CommandError
from console.policy_options import Json, count, loaded, print_json
from console.recording import Flows, Form, progress, tell_bad_rows
from console.replay import Enforced, Replay
from console.state import moment
from policies.errors import printable
from policies.model import Policy
from response.interfaces import StoredAlert
from response.store import Store
from response.values import plain
from topology.readers import RecordReader
from topology.records import FlowRecord

REFRESH_ROWS = 1_000
_SHOWN_SERVICES = 5
_ALL = 10**6


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    flows: Flows,
    policy: Annotated[
        list[str], typer.Option("--policy", help="Policy file or directory; repeatable.")
    ],
    seed: Annotated[int, typer.Option(help="Of the learners.")] = 0,
    no_adapt: Annotated[
        bool, typer.Option("--no-adapt", help="Alerts only, no machine decisions.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="Keep decisions, flows and audit in this new directory, to look into."),
    ] = None,
    form: Form = "auto",
    as_json: Json = False,
) -> None:
    """Run the whole pipeline over recorded traffic: verdicts, learning, decisions, their rules.

    Each record is judged by the policy and by the machine decisions that hold at that moment of
    the recording, and then learned from. The same recording, policy and seed give the same
    result. A decision that the policy only proposes stays a proposal: nobody approves it here.

    Example:

        septum replay --flows flows.csv.gz --policy policy.yaml --state replayed
    """
    rules = loaded(policy)
    reader = RecordReader(flows, form=form)
    with ExitStack() as stack:
        advance = stack.enter_context(progress(reader, "replaying"))
        store, done, span = _played(reader, rules, seed, not no_adapt, state, stack, advance)
        alerts = store.alerts(_ALL) if store is not None else ()
        proposals = store.decisions("proposed") if store is not None else ()
    tell_bad_rows(reader.name, reader.bad, reader.problems)
    if as_json:
        print_json(_data(reader, done, alerts))
    else:
        _print(reader, done, alerts, len(proposals), span)


def _played(
    reader: RecordReader, policy: Policy, seed: int, adapt: bool, state: Path | None,
    stack: ExitStack, advance: Callable[[], None],
) -> tuple[Store | None, Replay | None, tuple[float, float]]:  # fmt: skip
    """Everything read and taken in; nothing is set up for a recording without records."""
    store: Store | None = None
    done: Replay | None = None
    first = last = 0.0
    number = 0
    for number, record in enumerate(reader, 1):
        if done is None:
            first = last = record.ts
            store = _store(state, record, stack)
            done = Replay(policy, store, seed, adapt, record.ts)
        done.take(record)
        first, last = min(first, record.ts), max(last, record.ts)
        if number % REFRESH_ROWS == 0:
            advance()
    if done is not None:
        done.finish()
    return store, done, (first, last)


def _store(state: Path | None, first: FlowRecord, stack: ExitStack) -> Store:
    if state is None:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="septum-replay-")))
    elif state.exists() and (not state.is_dir() or any(state.iterdir())):
        raise CommandError(f"--state {printable(str(state))}: not a new or empty directory")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.open(state, first.ts)
    stack.callback(store.close)
    return store


def _data(
    reader: RecordReader, done: Replay | None, alerts: tuple[StoredAlert, ...]
) -> dict[str, Any]:
    return {
        "records": reader.rows - reader.bad,
        "bad_rows": reader.bad,
        "problems": [plain(problem) for problem in reader.problems],
        "verdicts": {} if done is None else dict(done.verdicts),
        "alerts": [
            {
                **plain(told.alert),
                "outcome": told.outcome,
                "reason": told.reason,
                "decision": told.decision,
            }
            for told in alerts
        ],
        "decisions": [] if done is None else [_enforced_data(each) for each in done.enforced],
    }


def _enforced_data(each: Enforced) -> dict[str, Any]:
    return {
        **as_json_value(each.decision),
        "rules_per_switch": each.rules,
        "ended": each.ended,
        "why_ended": each.why_ended,
        "stopped": each.stopped,
        "stopped_by_service": dict(each.stopped_by_service),
    }


def _print(
    reader: RecordReader,
    done: Replay | None,
    alerts: tuple[StoredAlert, ...],
    proposals: int,
    span: tuple[float, float],
) -> None:
    typer.echo(f"{count(reader.rows - reader.bad, 'record')} over {span[1] - span[0]:.0f} s")
    if done is None:
        return
    judged = [f"{number} {word}" for word, number in done.verdicts.items() if number]
    typer.echo(f"verdicts: {', '.join(judged)}")
    for told in alerts:
        alert = told.alert
        typer.echo(
            printable(
                f"{moment(alert.ts)}  alert     {alert.kind} ({alert.attack}) by {alert.host}, "
                f"score {alert.score:.6f}: {told.outcome}, {told.reason}"
            )
        )
    for each in done.enforced:
        decision = each.decision
        typer.echo(
            printable(
                f"{moment(decision.ts)}  decision  {decision.id}: {decision.action} of "
                f"{decision.target} for {decision.ttl} s, {count(len(each.rules), 'rule')} on each "
                f"switch; {decision.why}"
            )
        )
        services = each.stopped_by_service.most_common(_SHOWN_SERVICES)
        what = ", ".join(f"{service} x {times}" for service, times in services)
        more = len(each.stopped_by_service) - len(services)
        what += f", and {more} more" if more > 0 else ""
        typer.echo(printable(f"    stopped {count(each.stopped, 'connection')}: {what or 'none'}"))
        if each.ended is not None:
            typer.echo(printable(f"    ended {moment(each.ended)}: {each.why_ended}"))
    if proposals:
        typer.echo(f"{count(proposals, 'decision')} proposed, waiting for a person")

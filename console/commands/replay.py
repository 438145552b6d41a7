"""``septum replay``: the whole pipeline over recorded traffic."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from console.clients.state_directory import moment, opened
from console.errors import NO, CommandError
from console.options.feeds import local_listings
from console.options.policy import IncludeRoot, Json, count, loaded, print_json
from console.options.recording import (
    Flows,
    Form,
    NoDecapsulate,
    progress,
    tell_bad_rows,
    tell_notes,
)
from console.replay.compare import Compared, comparison, digest, tell
from console.replay.pipeline import Enforced, Replay, ReplayModels
from console.views.decision_story import as_json_value
from console.views.tables import listed
from policies.language.errors import printable
from policies.model import Policy
from policies.semantics.membership import Membership
from response.decisions.reward_ledger import MODEL as LEDGER_MODEL
from response.state.interfaces import StoredAlert
from response.state.model_versions import NEWEST, ROWS, number_of
from response.state.store import Store
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
    seed: Annotated[int, typer.Option(help="Seed of the learners.")] = 0,
    no_adapt: Annotated[
        bool, typer.Option("--no-adapt", help="Alerts only, no machine decisions.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="Store decisions, flows and audit in this new directory."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Begin with what was learned in this state directory, or at one of its "
            "snapshots (STATE/m12), not with nothing."
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Replay a second time under this policy, and compare; repeatable."),
    ] = None,
    against_model: Annotated[
        Path | None, typer.Option(help="Compare with the model stored there; as for --model.")
    ] = None,
    against_seed: Annotated[
        int | None, typer.Option(help="Compare with learners of this seed.")
    ] = None,
    form: Form = "auto",
    no_decapsulate: NoDecapsulate = False,
    as_json: Json = False,
    include_root: IncludeRoot = None,
) -> None:
    """Run the whole pipeline over recorded traffic: verdicts, learning, decisions, their rules.

    Each record is judged by the policy and by the machine decisions in force at that moment of the
    recording, and then learned from. The same recording, policy and seed give the same result, bit
    for bit; compare the digests at the end. Proposals stay proposals.

    With `--against`, `--against-model` or `--against-seed` the recording is replayed under both:
    the first differing decision is shown, and the totals; exit code 1 when anything differs.

    Example:

        septum replay --flows flows.csv.gz --policy policy.yaml --against stricter.yaml
    """
    sides = [ReplaySource(loaded(policy, include_root), _models(seed, model), state)]
    if against or against_model is not None or against_seed is not None:
        other = loaded(against, include_root) if against else sides[0].policy
        sides.append(_second(sides[0], other, against_model, against_seed))
    reader = RecordReader(flows, form=form, decapsulate=not no_decapsulate)
    compared = Compared()
    with ExitStack() as stack:
        advance = stack.enter_context(progress(reader, "replaying"))
        played, span = _played(reader, sides, not no_adapt, compared, stack, advance)
        done = played[0] if played else None
        alerts = done.store.alerts(_ALL) if done is not None else ()
        proposals = done.store.decisions("proposed") if done is not None else ()
        checksum = digest(done) if done is not None else ""
        both = comparison(played[0], played[1], compared) if len(played) == 2 else None
    tell_bad_rows(reader.name, reader.bad, reader.problems)
    tell_notes(reader.name, reader.notes)
    if len(sides) == 2:
        _tell_both(both, reader, as_json)
        raise typer.Exit(NO if both is not None and not both["same"] else 0)
    if as_json:
        print_json({**_data(reader, done, alerts), "digest": checksum})
    else:
        _print(reader, done, alerts, len(proposals), span)
        if done is not None:
            typer.echo(f"sha256 of decisions, alerts and verdicts: {checksum}")


@dataclass(frozen=True, slots=True)
class ReplaySource:
    """Inputs of one replay; ``state`` is where it is stored, or None."""

    policy: Policy
    models: ReplayModels
    state: Path | None = None


def _second(
    first: ReplaySource, policy: Policy, model: Path | None, seed: int | None
) -> ReplaySource:
    """As the first, but for what is given."""
    models = first.models
    if model is not None:
        models = _models(first.models.seed, model)
    elif seed is not None:
        models = ReplayModels(seed)
    return ReplaySource(policy, models)


def _models(seed: int, where: Path | None) -> ReplayModels:
    """What a state directory learned last, or at one of its snapshots (``STATE/m12``)."""
    if where is None:
        return ReplayModels(seed)
    number = number_of(where.name)
    state = where if number < 0 or where.exists() else where.parent
    with opened(state) as store:
        if state is where:
            newest = store.latest_snapshot(NEWEST)
            found = None if newest is None else newest[1]
        else:
            kept = store.snapshot(number)
            found = None if kept is None or kept[1] not in ROWS else kept[2]
        learner = store.latest_snapshot(LEDGER_MODEL)
    if found is None:
        raise CommandError(f"--model {printable(str(where))}: no learned model there")
    models = ReplayModels(seed, found, None if learner is None else learner[1])
    try:
        models.fresh()
    except ValueError as problem:
        raise CommandError(f"--model {printable(str(where))}: {problem}") from None
    return models


def _played(
    reader: RecordReader, sides: list[ReplaySource], adapt: bool, compared: Compared,
    stack: ExitStack, advance: Callable[[], None],
) -> tuple[list[Replay], tuple[float, float]]:  # fmt: skip
    """Everything read and taken in; nothing is set up for a recording without records."""
    played: list[Replay] = []
    first = last = 0.0
    for number, record in enumerate(reader, 1):
        if not played:
            first = last = record.ts
            for side in sides:
                store = _store(side.state, record, stack)
                listings = local_listings(side.policy, Membership(side.policy), record.ts)
                played.append(Replay(side.policy, store, side.models, adapt, record.ts, listings))
        words = [done.take(record) for done in played]
        compared.note(words[0], words[-1])
        first, last = min(first, record.ts), max(last, record.ts)
        if number % REFRESH_ROWS == 0:
            advance()
    for done in played:
        done.finish()
    return played, (first, last)


def _tell_both(both: dict[str, Any] | None, reader: RecordReader, as_json: bool) -> None:
    records = reader.rows - reader.bad
    if as_json:
        print_json({"records": records, "bad_rows": reader.bad, **(both or {"same": True})})
    elif both is None:
        typer.echo("0 records")
    else:
        tell(both, records)


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
        "problems": [msgspec.to_builtins(problem) for problem in reader.problems],
        "verdicts": {} if done is None else dict(done.verdicts),
        "alerts": [
            {
                **msgspec.to_builtins(told.alert),
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
        services, more = listed(each.stopped_by_service.most_common(), _SHOWN_SERVICES)
        what = ", ".join(f"{service} x {times}" for service, times in services)
        what += f", and {more} more" if more else ""
        typer.echo(printable(f"    stopped {count(each.stopped, 'connection')}: {what or 'none'}"))
        if each.ended is not None:
            typer.echo(printable(f"    ended {moment(each.ended)}: {each.why_ended}"))
    if proposals:
        typer.echo(f"{count(proposals, 'decision')} proposed, waiting for a person")

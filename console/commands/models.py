"""``septum models``: versions of the learned model, and the choice which one decides."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from console.clients.analysis_socket import ask_analysis
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, moment, opened, who_asks
from console.errors import NO, CommandError
from console.views.tables import print_table
from response.ipc.messages import Answer, Ask
from response.state.model_versions import BEFORE, DAILY, HOURLY, KEPT, NEWEST, ROWS

Id = Annotated[str, typer.Argument(metavar="ID", help="A snapshot, as in m12 (`models list`).")]
Note = Annotated[str, typer.Option("--note", help="Why, for the audit record.")]
WHY_KEPT = {
    NEWEST: "newest",
    HOURLY: "hourly",
    DAILY: "daily",
    KEPT: "asked for",
    BEFORE: "before a change",
}


def register(app: typer.Typer) -> None:
    models = typer.Typer(
        help="Versions of the learned model: store, roll back, compare, promote.",
        no_args_is_help=True,
    )
    models.command("list")(list_models)
    models.command("health")(health)
    models.command("snapshot")(snapshot)
    models.command("rollback")(rollback)
    models.command("challenge")(challenge)
    models.command("report")(report)
    models.command("promote")(promote)
    models.command("dismiss")(dismiss)
    models.command("accept")(accept)
    app.add_typer(models, name="models")


def list_models(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List stored versions of the detector: the last minutes, hours and days, those made on
    request, and those from just before a change.

    Example:

        septum models list
    """
    with opened(state) as store:
        found = [
            {"id": f"m{number}", "ts": ts, "kept": WHY_KEPT[model], "bytes": size}
            for number, ts, model, size in store.snapshots()
            if model in ROWS
        ]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    if not found:
        typer.echo("no snapshots yet; the analysis keeps one every five minutes")
        return
    print_table(
        ("id", "taken (UTC)", "kept as", "size"),
        (
            (
                str(each["id"]),
                moment(float(str(each["ts"])))[:-4],
                str(each["kept"]),
                f"{int(str(each['bytes'])) / 1e6:.1f} MB",
            )
            for each in found
        ),
    )


def health(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show the learners' health: maturity, threshold, withheld records, frozen baseline, drift.

    Example:

        septum models health
    """
    found = model_health(ask_analysis(state, Ask("model-health", "", who_asks())))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(f"model      {found['model']}, {found['records']} records, {found['hosts']} hosts")
    typer.echo(f"learned    {learned_line(found)}")
    if found["not_restored"]:
        typer.echo(f"           {found['not_restored']}")
    typer.echo(f"threshold  {found['threshold']:.1f} nats, {found['alerts']} alerts so far")
    since = found["baseline_since"]
    typer.echo(f"baseline   {'none yet' if since is None else f'of {_time(since)} UTC'}")
    typer.echo(f"drift      {found['drift_alarms']} alarms; {caution_line(found)}")
    for line in found["knocking"]:
        typer.echo(f"outsiders  {line}")
    challenger = found["challenger"]
    typer.echo(f"challenger {'none' if challenger is None else challenger['challenger']}")


def snapshot(state: State = DEFAULT_STATE, note: Note = "", as_json: AsJson = False) -> None:
    """Store the current model; the five newest made on request are kept.

    Example:

        septum models snapshot --note "before the migration"
    """
    _ask(state, Ask("model-snapshot", "", who_asks(), note), as_json)


def rollback(
    snapshot_id: Id, state: State = DEFAULT_STATE, note: Note = "", as_json: AsJson = False
) -> None:
    """Restore an earlier version; the replaced one is stored, so that this can be undone. Decisions
    stay as they are.

    Example:

        septum models rollback m12 --note "somebody taught it a sweep"
    """
    _ask(state, Ask("model-rollback", snapshot_id, who_asks(), note), as_json)


def challenge(
    snapshot_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="A snapshot. Default: the current model.")
    ] = "",
    alert_budget: Annotated[
        float | None,
        typer.Option("--alert-budget", help="Alerts per day per 1,000 hosts, for the challenger."),
    ] = None,
    state: State = DEFAULT_STATE,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Score with another version in the shadow of the deciding model, without any effect.

    It ends with `promote`, `dismiss`, the next `challenge` or a restart.

    Example:

        septum models challenge m12 --alert-budget 2
    """
    _ask(
        state,
        Ask("model-challenge", snapshot_id, who_asks(), note, alert_budget=alert_budget),
        as_json,
    )


def report(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show how the challenger differs so far: alerts, hosts, scores.

    Example:

        septum models report
    """
    found = model_health(ask_analysis(state, Ask("model-health", "", who_asks())))["challenger"]
    if found is None:
        raise CommandError("there is no challenger; `septum models challenge` begins with one", NO)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    ours, theirs = found["alerts"]
    typer.echo(f"challenger  {found['challenger']}, since {_time(found['since'])} UTC")
    typer.echo(f"records     {found['records']}")
    typer.echo(f"alerts      {ours} by the model that decides, {theirs} by the challenger")
    for name, key in (
        ("both", "both"),
        ("champion", "only_champion"),
        ("other", "only_challenger"),
    ):
        typer.echo(f"{name:<11} {', '.join(found[key]) or 'no host'}")
    typer.echo(
        f"scores      {found['apart']:.2%} of records differ by more than 0.05, "
        f"at most by {found['widest']:.3f}"
    )


def promote(state: State = DEFAULT_STATE, note: Note = "", as_json: AsJson = False) -> None:
    """Let the challenger decide from now on.

    Example:

        septum models promote
    """
    _ask(state, Ask("model-promote", "", who_asks(), note), as_json)


def dismiss(state: State = DEFAULT_STATE, note: Note = "", as_json: AsJson = False) -> None:
    """Stop comparing with the challenger.

    Example:

        septum models dismiss
    """
    _ask(state, Ask("model-dismiss", "", who_asks(), note), as_json)


def accept(state: State = DEFAULT_STATE, note: Note = "", as_json: AsJson = False) -> None:
    """Accept the current model as the frozen baseline and end the caution after a drift alarm.

    Example:

        septum models accept --note "the new branch office is online"
    """
    _ask(state, Ask("model-accept", "", who_asks(), note), as_json)


def model_health(answer: Answer) -> dict[str, Any]:
    """Print the result of `response.state.model_versions.ModelVersions.health`."""
    if not answer.ok:
        raise CommandError(answer.text, NO)
    found: dict[str, Any] = json.loads(answer.text)
    return found


def learned_line(found: dict[str, Any]) -> str:
    return (
        f"{found['windows']} host-windows ({found['maturity']:.0%} mature), "
        f"{found['withheld']} withheld, {found['refused']} beyond a source's share"
    )


def caution_line(found: dict[str, Any]) -> str:
    caution = found["caution"]
    return "no caution" if caution is None else f"more cautious because of {caution}"


def _time(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ask(state: Any, ask: Ask, as_json: bool) -> None:
    answer = ask_analysis(state, ask)
    if as_json:
        typer.echo(json.dumps({"ok": answer.ok, "text": answer.text}, ensure_ascii=False))
    else:
        typer.echo(answer.text)
    if not answer.ok:
        raise typer.Exit(NO)

"""``septum feeds``: entries, age and refusals of threat feeds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from analysis.clock.steady import time_in
from analysis.feed_fetcher import MAX_SECONDS
from console.clients.analysis_socket import ask_analysis
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, moment, opened, who_asks
from console.commands.feeds_check import check_feed
from console.errors import NO, CommandError
from console.views.tables import listed, print_table
from policies.language.errors import printable
from response.feeds.archive import FeedArchive
from response.feeds.keeper import FeedRecord
from response.ipc.messages import Ask

SHOWN = 20
PATIENCE = MAX_SECONDS + 60.0  # seconds until a refresh has been carried out
LOOK_EVERY = 0.1


def register(app: typer.Typer) -> None:
    feeds = typer.Typer(
        help="Threat feeds: entries, age, refusals.",
        no_args_is_help=True,
    )
    feeds.command("list")(list_feeds)
    feeds.command("refresh")(refresh)
    feeds.command("accept")(accept)
    feeds.command("check")(check_feed)
    app.add_typer(feeds, name="feeds")


def list_feeds(
    name: Annotated[str | None, typer.Argument(help="One feed, with its refused entries.")] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List feeds: mode, age, entries in force, entries refused.

    `fresh`: loaded recently; `stale`: its source fails, the last good copy stays in force;
    `aged out`: that copy is too old, nothing of it is in force.

    Example:

        septum feeds list
    """
    with opened(state):
        found = _records(state, name)
    now = time_in(state)
    if as_json:
        typer.echo(json.dumps([feed_data(each, now) for each in found], indent=1))
        return
    if not found:
        typer.echo("no feeds")
        return
    _table(found, now)
    if name is not None:
        _remarks(found[0])


def refresh(
    names: Annotated[list[str] | None, typer.Argument(help="Names of feeds. Default: all.")] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Fetch feeds now, and wait for the result. Exit code 1 if one cannot be used.

    When a feed fails, its last good copy stays in force.

    Example:

        septum feeds refresh drop-list
    """
    known = FeedArchive(state).records()
    asked = time_in(state)
    for name in names or [""]:
        _ask(state, "refresh", name)
    _watch(state, set(names or known), asked, as_json)


def accept(
    name: Annotated[str, typer.Argument(help="A feed that is held because it changes too much.")],
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Take a feed that changes by more than its `max_change`: the copy that is held, and no other.

    `septum feeds list NAME` says what comes and goes. Exit code 1 if it cannot be used.

    Example:

        septum feeds accept drop-list
    """
    asked = time_in(state)
    _ask(state, "accept", name)
    _watch(state, {name}, asked, as_json)


def _ask(state: Path, what: str, name: str) -> None:
    answer = ask_analysis(state, Ask(what, name, who_asks()))
    if not answer.ok:
        raise CommandError(answer.text)


def _watch(state: Path, wanted: set[str], asked: float, as_json: bool) -> None:
    """Wait until feeds have been read since ``asked``, and print what came of it."""
    until = time.monotonic() + PATIENCE
    found: dict[str, FeedRecord] = {}
    while time.monotonic() < until:
        now_known = FeedArchive(state).records()
        found = {
            name: record
            for name, record in now_known.items()
            if name in wanted and record.tried_at is not None and record.tried_at >= asked
        }
        if found.keys() == wanted:
            break
        time.sleep(LOOK_EVERY)
    _tell_refreshed([found[name] for name in sorted(found)], time_in(state), as_json)
    late = sorted(wanted - found.keys())
    if late:
        raise CommandError(f"{', '.join(late)}: no result within {PATIENCE:g} s", NO)
    if any(record.error is not None for record in found.values()):
        raise typer.Exit(NO)


def feed_data(record: FeedRecord, now: float) -> dict[str, Any]:
    """A feed as ``--json`` shows it."""
    data: dict[str, Any] = msgspec.to_builtins(record)
    for hidden in ("source", "etag", "modified"):
        del data[hidden]
    data["reasons"] = dict(record.reasons)
    return {**data, "state": record.age(now), "ages_out_at": record.ages_out_at}


def feed_line(record: FeedRecord, now: float) -> str:
    """A feed in one line, for ``septum status``."""
    text = f"{record.name} {record.age(now)}, {record.mode}, {record.in_force} in force"
    if record.refused_count:
        text += f", {record.refused_count} refused"
    if record.own_count:
        text += f" ({record.own_count} private or ours)"
    if record.held:
        text += ", a newer copy is held"
    return text + (f" ({record.error})" if record.error else "")


def records_of(state: Path) -> list[FeedRecord]:
    """All feeds that are kept, by name."""
    return sorted(FeedArchive(state).records().values(), key=lambda record: record.name)


def _records(state: Path, name: str | None) -> list[FeedRecord]:
    found = records_of(state)
    if name is None:
        return found
    chosen = [record for record in found if record.name == name]
    if not chosen:
        names = ", ".join(record.name for record in found) or "none"
        raise CommandError(f"{printable(name)}: no such feed; there are: {names}")
    return chosen


def _table(found: list[FeedRecord], now: float) -> None:
    print_table(
        ("feed", "mode", "state", "entries", "in force", "prefixes", "refused", "unread",
         "last good", "from"),
        (
            (each.name, each.mode, each.age(now),
             str(each.entries), str(each.in_force), str(each.prefixes),
             str(each.refused_count), str(each.bad_count),
             "never" if each.good_at is None else moment(each.good_at)[:-4],
             each.shown)
            for each in found
        ),
    )  # fmt: skip
    for each in found:
        if each.error is not None:
            again = moment(each.due_at)[:-4]
            typer.echo(
                printable(f"{each.name}: {each.error} ({each.failures} times; again {again})")
            )


def _remarks(record: FeedRecord) -> None:
    for reason, times in record.reasons:
        typer.echo(f"{times:>8}  {printable(reason)}")
    for what, notes in (("refused", record.refused), ("unread", record.bad)):
        for note in listed(notes, SHOWN)[0]:
            typer.echo(printable(f"{what} {note.line}: {note.text}: {note.reason}"))


def _tell_refreshed(found: list[FeedRecord], now: float, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([feed_data(each, now) for each in found], indent=1))
        return
    for each in found:
        typer.echo(printable(feed_line(each, now)))

"""``septum audit``: the hash-chained record of what was seen, decided and done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from console.audit_summary import summary
from console.errors import NO
from console.state import DEFAULT_STATE, AsJson, State, moment, opened
from response.audit import Audit, as_jsonl
from response.values import plain

Kind = Annotated[str | None, typer.Option(help="Only entries of this kind, such as `decision`.")]
OfDecision = Annotated[str | None, typer.Option(help="Only one decision's story, by its id.")]


class Format(StrEnum):
    jsonl = "jsonl"


def register(app: typer.Typer) -> None:
    audit = typer.Typer(
        help="The hash-chained record of what was seen, decided and done.", no_args_is_help=True
    )
    audit.command("list")(list_entries)
    audit.command("verify")(verify)
    audit.command("export")(export)
    app.add_typer(audit, name="audit")


def list_entries(
    state: State = DEFAULT_STATE,
    kind: Kind = None,
    decision: OfDecision = None,
    last: Annotated[int, typer.Option(min=0, help="How many, newest; 0 is all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest entries, oldest first.

    Example:

        septum audit list --decision d1
    """
    with opened(state) as store:
        entries = list(Audit(store).entries(kind=kind, decision=decision))
    shown = entries[-last:] if last else entries
    if as_json:
        rows = [{**plain(entry), "data": entry.values()} for entry in shown]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for entry in shown:
        typer.echo(f"{entry.seq:>6}  {moment(entry.ts)}  {entry.kind:<9}  {summary(entry)}")


def verify(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Check that no entry was edited, removed, moved or cut off. Exit code 1 if one was.

    Note the head's hash elsewhere from time to time: a record that was written anew from the
    start is whole in itself, but ends in another hash.

    Example:

        septum audit verify --state ./septum-state
    """
    with opened(state) as store:
        report = Audit(store).verify()
    if as_json:
        typer.echo(json.dumps({**plain(report), "whole": report.whole}, indent=1))
    elif report.whole:
        typer.echo(f"whole: {report.entries} entries, head {report.head.hash}")
    else:
        typer.echo(f"NOT whole: {report.entries} entries")
        for problem in report.problems:
            typer.echo(f"  {problem}")
    if not report.whole:
        raise typer.Exit(NO)


def export(
    format: Annotated[Format, typer.Option(help="How entries are written.")] = Format.jsonl,
    state: State = DEFAULT_STATE,
    after: Annotated[int, typer.Option(min=0, help="Start behind this entry number.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")
    ] = None,
) -> None:
    """Write the record for other programs, one entry a line.

    Example:

        septum audit export --format jsonl --output audit.jsonl
    """
    with opened(state) as store, store.reading():
        lines = map(as_jsonl, Audit(store).entries(after))
        _write(lines, output)


def _write(lines: Iterator[str], output: Path | None) -> None:
    if output is None:
        for line in lines:
            typer.echo(line)
        return
    with output.open("w", encoding="utf-8") as file:
        while block := list(islice(lines, 1000)):
            file.write("\n".join(block) + "\n")

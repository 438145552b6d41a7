"""``septum audit``: the hash-chained record of what was seen, decided and done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from analysis.clock.steady import time_in
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, moment, opened, who_asks
from console.errors import NO, CommandError
from console.views.audit_summary import summary
from response.audit import checkpoints
from response.audit.archive import ArchiveError, as_jsonl
from response.audit.archiving import archive as archived
from response.audit.cef import Cef
from response.audit.chain import AuditEntry, AuditReport
from response.audit.checkpoints import Checkpoint
from response.audit.log import Audit
from response.audit.ocsf import Ocsf
from response.audit.signing import KEY_FILE, signer_of

Kind = Annotated[str | None, typer.Option(help="Only entries of this kind, such as `decision`.")]
OfDecision = Annotated[str | None, typer.Option(help="Only entries of one decision, by its id.")]


class Format(StrEnum):
    jsonl = "jsonl"
    ocsf = "ocsf"
    cef = "cef"


def register(app: typer.Typer) -> None:
    audit = typer.Typer(
        help="The hash-chained record of what was seen, decided and done.", no_args_is_help=True
    )
    audit.command("list")(list_entries)
    audit.command("verify")(verify)
    audit.command("export")(export)
    audit.command("archive")(archive)
    app.add_typer(audit, name="audit")


def list_entries(
    state: State = DEFAULT_STATE,
    kind: Kind = None,
    decision: OfDecision = None,
    last: Annotated[int, typer.Option(min=0, help="Number of newest entries; 0: all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest entries, oldest first.

    Example:

        septum audit list --decision d1
    """
    with opened(state) as store:
        entries = list(Audit(store).entries(kind=kind, decision=decision))
    shown = entries[-last:] if last else entries
    if as_json:
        rows = [{**msgspec.to_builtins(entry), "data": entry.values()} for entry in shown]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for entry in shown:
        typer.echo(f"{entry.seq:>6}  {moment(entry.ts)}  {entry.kind:<9}  {summary(entry)}")


def verify(
    state: State = DEFAULT_STATE,
    key: Annotated[
        str | None,
        typer.Option(
            help="Public key that checkpoints must be signed with. Default: the one "
            "in the state directory."
        ),
    ] = None,
    witness: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoints stored elsewhere: a copy of audit.checkpoint, or the log that `run "
            "--checkpoint-to` sends them to; repeatable."
        ),
    ] = None,
    archive: Annotated[
        list[Path] | None,
        typer.Option(
            help="Archive of `audit archive` that is not where it was written; repeatable."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no entry was edited, removed, moved or cut off. Exit code 1 if one was.

    Entries that `audit archive` moved to files are checked there.

    Checkpoints in the record, and the newest one beside it, are signed: a rewritten record, or one
    whose end was cut off with its checkpoints, is detected. Against an attacker who can also read
    the key, have checkpoints sent to another machine (`septum run --checkpoint-to`), and note the
    public key there.

    Example:

        septum audit verify --state ./septum-state
    """
    signer = None if key is not None else signer_of(state)
    public = key if key is not None else signer.public if signer is not None else None
    beside = state / checkpoints.FILE
    with opened(state, only_read=True) as store:
        kept = _checkpoint(beside) if beside.exists() else None
        witnesses = [each for path in witness or [] for each in _witnesses(path, store.owner_id())]
        report = Audit(store).verify_signed(public, kept, witnesses, archive or ())
    if as_json:
        typer.echo(json.dumps({**msgspec.to_builtins(report), "whole": report.whole}, indent=1))
    elif report.whole:
        typer.echo(f"whole: {report.entries} entries, head {report.head.hash}")
        typer.echo(_signed(report))
        if witness:
            typer.echo(_witnessed(report))
    else:
        typer.echo(f"NOT whole: {report.entries} entries")
        for problem in report.problems:
            typer.echo(f"  {problem}")
    if not report.whole:
        raise typer.Exit(NO)


def _witnesses(path: Path, record: str) -> tuple[Checkpoint, ...]:
    found = checkpoints.read_log(path, record)
    if not found:
        raise CommandError(f"{path}: no checkpoint of this record in it", NO)
    return found


def _checkpoint(path: Path) -> Checkpoint:
    try:
        found = checkpoints.read_file(path)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"{path}: no checkpoint in it", NO)
    return found


def _signed(report: AuditReport) -> str:
    if report.key is None:
        return "not signed: there is no key, and no checkpoint"
    return f"signed up to entry {report.signed_to} by {report.key}"


def _witnessed(report: AuditReport) -> str:
    last, upto = report.head.seq, report.witnessed_to
    # The witness's own entry follows what it signs, and is compared with it.
    beyond = f"; entries {upto + 1} to {last} are not" if last > upto + 1 else ""
    return f"witnessed up to entry {upto}{beyond}"


def export(
    format: Annotated[Format, typer.Option(help="Format of entries.")] = Format.jsonl,
    state: State = DEFAULT_STATE,
    after: Annotated[int, typer.Option(min=0, help="Start after this entry number.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")
    ] = None,
) -> None:
    """Export the audit for other programs, one entry a line.

    `jsonl` is the record itself, whose hashes can be checked independently; `ocsf`: events of the
    Open Cybersecurity Schema Framework (Detection Finding, Network Activity, otherwise Base Event);
    `cef`: lines of the Common Event Format.

    Example:

        septum audit export --format jsonl --output audit.jsonl
    """
    product = version("septum")
    writers: dict[Format, Callable[[AuditEntry], str]] = {
        Format.jsonl: as_jsonl,
        Format.ocsf: Ocsf(product).line,
        Format.cef: Cef(product).line,
    }
    with opened(state) as store:
        upto = store.audit_head().seq
        _write(map(writers[format], Audit(store).entries(after, upto=upto)), output)


def _write(lines: Iterator[str], output: Path | None) -> None:
    if output is None:
        for line in lines:
            typer.echo(line)
        return
    with output.open("w", encoding="utf-8") as file:
        while block := list(islice(lines, 1000)):
            file.write("\n".join(block) + "\n")


def archive(
    before: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Day or time, in UTC."),
    ],
    to: Annotated[Path, typer.Option(help="New file, which may be moved afterwards.")],
    state: State = DEFAULT_STATE,
) -> None:
    """Move old entries to a file, signed, up to the last checkpoint before a time.

    A controller may run meanwhile. `audit verify` follows the file, `audit list` and `decisions
    show` do not. The room in the database is used again.

    Example:

        septum audit archive --before 2026-10-01 --to /var/backups/septum-audit-1.jsonl
    """
    until = before.replace(tzinfo=UTC).timestamp()
    with opened(state) as store:
        signer = signer_of(state)
        if signer is None:
            raise CommandError(f"{state}: no {KEY_FILE} to sign with", NO)
        try:
            moved = archived(store, signer, until, to, time_in(state), who_asks())
        except ArchiveError as problem:
            raise CommandError(str(problem), NO) from None
    typer.echo(f"entries {moved.first} to {moved.last} are in {to}, and in the database no more")

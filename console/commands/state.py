"""``septum state``: the state directory as a whole: checked, backed up, restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from analysis.clock.steady import time_in
from console.clients.state_directory import DEFAULT_STATE, AsJson, State
from console.errors import NO
from response.state.backup import back_up
from response.state.backup import restore as restored
from response.state.soundness import problems_of

File = Annotated[Path, typer.Argument(help="The backup.")]


def register(app: typer.Typer) -> None:
    state = typer.Typer(
        help="The state directory as a whole: checked, backed up, restored.", no_args_is_help=True
    )
    state.command("check")(check)
    state.command("backup")(backup)
    state.command("restore")(restore)
    app.add_typer(state, name="state")


def check(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Check that everything in a state directory can be read and that the audit is whole. Exit code
    1 if not. Nothing is changed; a controller may run meanwhile.

    Example:

        septum state check --state ./septum-state
    """
    found = problems_of(state)
    if as_json:
        typer.echo(json.dumps({"sound": not found, "problems": found}, ensure_ascii=False))
    elif found:
        typer.echo(f"NOT sound: {state}")
        for problem in found:
            typer.echo(f"  {problem}")
    else:
        typer.echo(f"sound: {state}")
    if found:
        raise typer.Exit(NO)


def backup(file: File, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Write the whole state to one new file, also while a controller runs.

    In it: the database as of one moment, the keys, all policy versions, the last good copies of
    feeds. Whoever has it can sign in this controller's name: keep it like the state directory. The
    file is readable by its owner only, and is written whole or not at all.

    Example:

        septum state backup /var/backups/septum-monday.backup
    """
    names = back_up(state, file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "holds": list(names)}, ensure_ascii=False))
    else:
        typer.echo(f"{file}: {', '.join(names)}")
        typer.echo("it holds the keys: keep it like the state directory")


def restore(file: File, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Make a state directory from a backup, in the place of an empty or a damaged one.

    What was there is kept beside it, in a folder of its own. A sound state, and one that a
    controller uses, is left alone. What happened since the backup is not in the state: switches are
    brought to it at the next start.

    Example:

        septum state restore /var/backups/septum-monday.backup --state ./septum-state
    """
    aside = restored(file, state, time_in(state))
    if as_json:
        old = None if aside is None else str(aside)
        typer.echo(json.dumps({"state": str(state), "aside": old}, ensure_ascii=False))
        return
    typer.echo(f"{state}: restored from {file}")
    if aside is not None:
        typer.echo(f"what was there is in {aside}")

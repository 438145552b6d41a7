"""Arguments and output forms shared by the ``septum policy`` commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.clock.system import system_time
from console.errors import CommandError
from policies.language.errors import printable
from policies.language.reader import load_policy
from policies.model import Policy

Paths = Annotated[list[str], typer.Argument(help="Policy files or directories.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IncludeRoot = Annotated[
    list[str] | None,
    typer.Option(
        "--include-root",
        help="A folder, beside the policy's own, that its includes, links and feeds may lie in.",
    ),
]
At = Annotated[
    float | None, typer.Option("--at", help="Judge as of this time (seconds since the epoch).")
]


def present(paths: Sequence[str]) -> Sequence[str]:
    """The paths, checked to exist: a mistyped name is a usage error, not an invalid policy."""
    for path in paths:
        if "\0" in path or not Path(path).exists():
            raise CommandError(f"{printable(path)}: no such file or directory")
    return paths


def loaded(paths: Sequence[str], include_root: Sequence[str] | None = None) -> Policy:
    """The policy in ``paths``; raises PolicyError for one that is not valid."""
    return load_policy(present(paths), include_roots=include_root or ())


def moment(at: float | None) -> float:
    return system_time() if at is None else at


def print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1))


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

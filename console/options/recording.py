"""Shared by commands that read recorded traffic: options, progress bar, report of bad rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from console.terminal import drawing
from policies.language.errors import printable
from policies.review.recorded_traffic import RecordedTraffic, TrafficReader
from topology.readers import FORMS, RowProblem

LONG_INPUT = 1_000_000  # bytes; a shorter file is done before a bar is seen

Flows = Annotated[
    str,
    typer.Option(
        "--flows",
        help="Recorded traffic, or - for standard input: contract CSV or JSON lines, Zeek "
        "conn.log, nfdump CSV, Suricata eve.json, pcap, pcapng; gzipped or not.",
    ),
]
Form = Annotated[
    str,
    typer.Option("--format", help=f"What --flows holds: {', '.join(FORMS)}. auto: look at it."),
]
NoDecapsulate = Annotated[
    bool,
    typer.Option(
        "--no-decapsulate",
        help="Of a capture, take tunnels (GRE, ERSPAN, VXLAN, …) as traffic between their ends,"
        " not for the packets inside.",
    ),
]


class RecordingProgress(Protocol):
    """A recording being read: how far of how many bytes."""

    @property
    def size(self) -> int | None: ...
    @property
    def position(self) -> int: ...


@contextmanager
def progress(reader: RecordingProgress, what: str) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error while a long file is read; only on a terminal.

    The callable that is given brings the bar up to where the reader is.
    """
    console = Console(file=drawing(sys.stderr))
    if not console.is_terminal or reader.size is None or reader.size < LONG_INPUT:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=reader.size)
        yield lambda: bar.update(task, completed=reader.position)


def tell_bad_rows(name: str, bad: int, problems: Sequence[RowProblem]) -> None:
    """The first bad rows with their line (of a capture: packet), on standard error."""
    for problem in problems:
        typer.echo(printable(f"{name}:{problem.line}: {problem.reason}; row skipped"), err=True)
    if bad > len(problems):
        typer.echo(f"and {bad - len(problems)} more bad rows", err=True)


def tell_notes(name: str, notes: Sequence[str]) -> None:
    """Print notes about a recording on standard error."""
    for note in notes:
        typer.echo(printable(f"{name}: {note}"), err=True)


def recorded(flows: str, form: str, decapsulate: bool = True) -> RecordedTraffic:
    """Count all of a recording, with a progress bar; report bad rows on standard error."""
    reader = TrafficReader(flows, form, decapsulate)
    with progress(reader, "reading") as advance:
        traffic = reader.read(advance)
    tell_bad_rows(reader.name, traffic.bad, traffic.problems)
    tell_notes(reader.name, reader.notes)
    return traffic

"""Tables on standard output: whole in a pipe, folded on a terminal, never cut."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.terminal import drawing, one_line

_UNBOUNDED = 100_000  # columns of a line in a pipe: no value comes near


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of plain text. What a terminal would obey, or rich take for markup, is escaped.

    In a pipe each row is one line, so that `grep` and `cut` see whole values; on a terminal
    values that do not fit go on in the next line of their cell.
    """
    console = Console(file=drawing(sys.stdout))
    piped = not console.is_terminal
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=piped)
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    if piped:
        console = Console(file=drawing(sys.stdout), width=_UNBOUNDED)
    console.print(table)

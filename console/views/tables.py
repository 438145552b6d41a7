"""Tables and lists on standard output: whole in a pipe, fitted to a terminal, values never cut."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.terminal import drawing, one_line

_UNBOUNDED = 100_000  # columns of a line in a pipe: no value comes near
_BORDER = 3  # columns that a cell has beside its text
T = TypeVar("T")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of plain text. What a terminal would obey, or rich take for markup, is escaped.

    In a pipe each row is one line, so that `grep` and `cut` see whole values. On a terminal cells
    are wrapped between words; where even that does not fit, each row is a list of its values.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    console = Console(file=drawing(sys.stdout))
    if not console.is_terminal:
        Console(file=drawing(sys.stdout), width=_UNBOUNDED).print(_table(columns, cells))
        return
    widths = _widths(columns, cells, console.width)
    if widths is not None:
        console.print(_table(columns, cells, widths))
        return
    label = max(map(cell_len, columns))
    for number, row in enumerate(cells):
        if number:
            print()
        for name, cell in zip(columns, row, strict=True):
            print(f"{name:<{label}}  {cell}".rstrip())


def listed(items: Sequence[T], most: int) -> tuple[Sequence[T], int]:
    """What to print of a long list, and how many are left: all in a pipe, on a terminal the first
    ``most``."""
    if not sys.stdout.isatty():
        return items, 0
    return items[:most], max(0, len(items) - most)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int] | None = None
) -> Table:
    table = Table()
    for number, name in enumerate(columns):
        width = None if widths is None else widths[number]
        table.add_column(name, no_wrap=widths is None, width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], available: int
) -> list[int] | None:
    """A width for each column, none less than its longest word; None where that is too wide."""
    held = [[name, *(row[number] for row in rows)] for number, name in enumerate(columns)]
    whole = [max(map(cell_len, texts)) for texts in held]
    words = [max((cell_len(w) for t in texts for w in t.split()), default=1) for texts in held]
    left = available - _BORDER * len(columns) - 1 - sum(words)
    if left < 0:
        return None
    widths, waiting = list(words), len(columns)
    # What needs least comes first, so that only the longest are wrapped.
    for number in sorted(range(len(columns)), key=lambda each: whole[each] - words[each]):
        more = min(whole[number] - words[number], left // waiting)
        widths[number] += more
        left, waiting = left - more, waiting - 1
    return widths

"""Standard output and error, through which nothing passes that a terminal would obey.

Names, protocols, feeds and policies come from elsewhere. Whatever a command prints is escaped in
one place, so that no command can forget to; JSON and YAML escape such characters by themselves.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from policies.language.errors import printable


class EscapedText(io.TextIOBase):
    """A text stream that writes control characters as escapes, line feeds and tabs apart.

    ``raw`` is the stream behind it, for what draws on a terminal with escapes of its own.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        if not (text.isascii() and text.replace("\n", "").isprintable()):
            text = "\t".join(map(printable, text.split("\t")))
        self.raw.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.raw.flush()

    def fileno(self) -> int:
        return self.raw.fileno()

    def isatty(self) -> bool:
        return self.raw.isatty()

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> object:  # for bytes, which commands write to files and pipes on purpose
        return self.raw.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.raw.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.raw.errors


@contextmanager
def escaped_output() -> Iterator[None]:
    """Escape what is printed meanwhile."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = EscapedText(sys.stdout), EscapedText(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def drawing(stream: TextIO) -> TextIO:
    """The stream for text that was made safe and is drawn with escapes: tables, progress."""
    return stream.raw if isinstance(stream, EscapedText) else stream


def one_line(text: str) -> str:
    """A value as a part of a line that it cannot end."""
    return printable(text).replace("\n", "\\n")

"""Diagnostics: what is wrong with a policy, where, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from policies.model import Source

Level = Literal["error", "warning"]
Texts = Mapping[str, Sequence[str]]

# Beyond this many, a report says only that there are more.
MAX_DIAGNOSTICS = 1000
# Looking for a close name costs time in proportion to the names there are.
MAX_SUGGESTIONS = 100
SNIPPET_WIDTH = 160

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: ``code`` names its kind for programs, ``width`` is the length of the offending
    text."""

    level: Level
    code: str
    message: str
    source: Source
    width: int = 1
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return printable(f"{self.source}: {self.level}: {self.message}{hint}")


class PolicyError(Exception):
    """A policy with errors; carries all diagnostics and the lines they point at."""

    def __init__(self, diagnostics: Sequence[Diagnostic], texts: Texts | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.texts: Texts = texts or {}
        super().__init__("\n".join(map(str, self.diagnostics)))


class Findings:
    """Collects the diagnostics of one reading, bounded in number and in time spent on hints."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []
        self._suggestions = 0
        self.errors = 0

    def error(
        self, code: str, message: str, source: Source, width: int = 1, hint: str | None = None
    ) -> None:
        self.errors += 1
        if self.errors <= MAX_DIAGNOSTICS:
            line = message.replace("\n", "\\n")  # of a quoted cell, or a block of YAML
            self._found.append(Diagnostic("error", code, line, source, width, hint))

    def warning(
        self, code: str, message: str, source: Source, width: int = 1, hint: str | None = None
    ) -> None:
        self._found.append(Diagnostic("warning", code, message, source, width, hint))

    def did_you_mean(self, word: str, known: Iterable[str]) -> str | None:
        """The closest of ``known``, or None where nothing is close enough to be a slip."""
        if self._suggestions >= MAX_SUGGESTIONS or len(word) > 200:
            return None
        self._suggestions += 1
        close = closest(word, known)
        return None if close is None else f"did you mean '{close}'?"

    def sorted(self) -> tuple[Diagnostic, ...]:
        found = sorted(self._found, key=lambda d: (d.source, d.level, d.message))
        if self.errors > MAX_DIAGNOSTICS:
            more = f"{self.errors - MAX_DIAGNOSTICS} more errors are not shown"
            found.append(Diagnostic("error", "more", more, found[-1].source))
        return tuple(found)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that is closest to ``word``."""
    names = list(known)
    folded = {name.casefold(): name for name in names}
    if word.casefold() in folded:
        return folded[word.casefold()]
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return near[0] if near else None


def split_lines(text: str) -> list[str]:
    """Lines as YAML counts them, so that a mark's line is an index into the result."""
    return _LINE_BREAK.split(text)


def printable(text: str) -> str:
    """``text`` with control characters written as escapes, safe for a terminal."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def render(diagnostic: Diagnostic, texts: Texts) -> str:
    """The diagnostic, the line it points at and a caret under the offending text."""
    lines = texts.get(diagnostic.source.file, ())
    source = diagnostic.source
    if not 1 <= source.line <= len(lines) or not lines[source.line - 1].strip():
        return str(diagnostic)
    line = lines[source.line - 1]
    start = min(source.column - 1, len(line))
    cut = max(0, start - SNIPPET_WIDTH // 2)
    shown = line[cut : cut + SNIPPET_WIDTH]
    before = _one_cell(shown[: start - cut])
    offending = _one_cell(shown[start - cut : start - cut + max(1, diagnostic.width)])
    rest = _one_cell(shown[start - cut + max(1, diagnostic.width) :])
    caret = " " * len(before) + "^" * max(1, len(offending))
    number = f"{source.line:>5} | "
    return f"{diagnostic}\n{number}{before}{offending}{rest}\n{' ' * (len(number) - 2)}| {caret}"


def _one_cell(text: str) -> str:
    return printable(text.replace("\t", " ").replace("\n", " "))

"""A connection to the database whose errors are lines for users, and which keeps no query open.

Every query is read to its end at once: an open one would hold a read transaction, and a reader
that is slow to go on would keep the write-ahead log from being moved into the database. What may be
large is read in pages, by key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

Parameters = Sequence[object] | Mapping[str, object]

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""Codes for pages that are wrong, and for tables that are missing: our statements are not."""


class StoreError(Exception):
    """The state directory cannot be used; the text is one line for users."""


class StoreDamaged(StoreError):
    """What stands in the database cannot be right."""

    def __init__(self, path: Path, problem: object) -> None:
        super().__init__(
            f"{path}: is damaged: {' '.join(str(problem).split())}; `septum state check` shows what"
            " is left, `septum state restore FILE` puts a backup in its place"
        )


class Rows(list[tuple[Any, ...]]):
    """What a query found."""

    def fetchone(self) -> Any:
        return self[0] if self else None

    def fetchall(self) -> Self:
        return self


class DatabaseConnection:
    """One file, in the thread that opened it. Raises `StoreError` and nothing of SQLite's."""

    def __init__(self, path: Path, address: str, timeout: float) -> None:
        """``address`` is a URI, ``timeout`` how many seconds a lock is waited for."""
        self._path = path
        try:
            self.raw = sqlite3.connect(address, timeout=timeout, isolation_level=None, uri=True)
        except sqlite3.Error as problem:
            raise self._explained(problem, "opened") from None

    @property
    def in_transaction(self) -> bool:
        return self.raw.in_transaction

    def execute(self, statement: str, parameters: Parameters = ()) -> Rows:
        try:
            return Rows(self.raw.execute(statement, parameters))
        except sqlite3.Error as problem:
            reads = statement.startswith(("SELECT", "BEGIN", "PRAGMA user_version"))
            raise self._explained(problem, "read" if reads else "written") from None

    def executemany(self, statement: str, parameters: Iterable[Parameters]) -> None:
        try:
            self.raw.executemany(statement, parameters)
        except sqlite3.Error as problem:
            raise self._explained(problem, "written") from None

    def copy_to(self, target: sqlite3.Connection) -> None:
        try:
            self.raw.backup(target)
        except sqlite3.Error as problem:
            raise self._explained(problem, "copied") from None

    def close(self) -> None:
        self.raw.close()

    def _explained(self, problem: sqlite3.Error, done: str) -> StoreError:
        code = getattr(problem, "sqlite_errorcode", None)
        undecodable = code is None and isinstance(problem, sqlite3.OperationalError)
        if undecodable or (code is not None and code & 0xFF in _DAMAGE):
            return StoreDamaged(self._path, problem)
        return StoreError(f"{self._path}: cannot be {done}: {problem}")

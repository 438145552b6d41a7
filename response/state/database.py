"""The state directory's file: SQLite in WAL mode, opened by several processes, changed in whole
transactions, brought up to the layout of this version when it is opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from response.state import schema

FILE = "septum.db"
PATIENCE = 10.0
"""Seconds that a writer waits for another process's commit before it gives up."""


class StoreError(Exception):
    """The state directory cannot be used; the text is one line for users."""


class Database:
    """One file. Use it from the thread that opened it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._depth = 0

    @classmethod
    def open(
        cls,
        directory: Path | str,
        now: float,
        *,
        create: bool = True,
        patience: float = PATIENCE,
    ) -> Self:
        """Open ``directory/septum.db``, made first where missing unless ``create`` is False.

        ``patience`` is how many seconds a write waits for another process's, once open.

        Raises `StoreError` when the directory holds no state, or one that this
        version cannot read.
        """
        path = Path(directory) / FILE
        if not path.exists():
            if not create:
                raise StoreError(
                    f"{directory}: no state here (no {FILE}); start `septum run` first"
                )
            _make_private(path)
        try:
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            store = cls(path, connection)
            if not store._prepared():
                store._prepare(now)
            connection.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
        except sqlite3.Error as problem:
            raise StoreError(f"{path}: cannot be used: {problem}") from None
        return store

    def close(self) -> None:
        self._db.close()

    def _prepared(self) -> bool:
        """Whether the tables are there; looked up without waiting for who writes."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, schema.VERSION, *schema.UPGRADES):
            raise StoreError(
                f"{self.path}: has layout {version}, this septum reads {schema.VERSION}; "
                "use the version that wrote it"
            )
        return bool(version == schema.VERSION)

    def _prepare(self, now: float) -> None:
        with self.transaction():
            if self._prepared():  # another process was quicker
                return
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            for script in _scripts(version):
                for statement in _statements(script):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={schema.VERSION}")
            if version:
                return
            self._db.execute("INSERT INTO meta VALUES('owner', lower(hex(randomblob(8))))")
            self.set_meta("created", repr(float(now)))

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[None]:
        """All changes inside are kept together; inner calls join the outer one.

        ``durable`` waits for the disk. Raises `StoreError` when the database
        cannot take the change; then nothing of it is kept.
        """
        if self._depth:
            yield
            return
        try:
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
        except sqlite3.Error as problem:
            raise StoreError(f"{self.path}: cannot be written: {problem}") from None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside is as of one moment; writers are not held up."""
        try:
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as problem:
            raise StoreError(f"{self.path}: cannot be read: {problem}") from None

    # -- what the directory is -------------------------------------------------

    def owner_id(self) -> str:
        """64 bits in hexadecimal, drawn once, that mark this directory's switches."""
        owner = self.meta("owner")
        if owner is None:
            raise StoreError(f"{self.path}: carries no owner id; it is damaged")
        return owner

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str | None) -> None:
        with self.transaction():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE key=?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (key, value))


def _make_private(path: Path) -> None:
    """The directory and an empty database that only their owner may read."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise StoreError(f"{path.parent}: cannot be made: {problem.strerror}") from None


def _scripts(version: int) -> Iterator[str]:
    """What brings a file with this layout to the current one; 0 is an empty file."""
    if version == 0:
        yield schema.TABLES
    else:
        yield from (schema.UPGRADES[each] for each in range(version, schema.VERSION))


def _statements(script: str) -> Iterator[str]:
    """Split a script; ``executescript`` would end the transaction around it."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""

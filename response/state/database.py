"""The state directory's file: SQLite in WAL mode, opened by several processes, changed in whole
transactions, brought up to the layout of this version when it is opened."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from response.audit import checkpoints
from response.private_state import check_state, make_state
from response.state import schema
from response.state.database_connection import DatabaseConnection, StoreDamaged, StoreError

FILE = "septum.db"
PATIENCE = 10.0
"""Seconds that a writer waits for another process's commit before it gives up."""


class Database:
    """One file. Use it from the thread that opened it."""

    def __init__(
        self, path: Path, connection: DatabaseConnection, copy: Path | None = None
    ) -> None:
        """``copy`` is a directory that is removed at the end."""
        self.path = path
        self._db = connection
        self._copy = copy
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
        path = check_state(Path(directory)) / FILE
        if not path.exists() or path.stat().st_size == 0:
            if not create and not path.exists():
                raise _no_state(directory)
            if (path.parent / checkpoints.FILE).exists():
                raise StoreDamaged(path, f"nothing is in it, and {checkpoints.FILE} is of one")
            _make_private(path)
        connection = DatabaseConnection(path, _address(path), PATIENCE)
        store = cls(path, connection)
        try:
            store._check_layout()
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            if not store._prepared():
                store._prepare(now)
            connection.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
        except BaseException:
            connection.close()
            raise
        return store

    @classmethod
    def open_to_read(cls, directory: Path | str) -> Self:
        """Open what may not be changed, such as evidence: neither the file nor its layout is.

        A copy is read where the file alone is not enough: where the write-ahead log holds
        something and the directory cannot be written, or the layout is an older one.
        Raises `StoreError`.
        """
        path = check_state(Path(directory), evidence=True) / FILE
        if not path.exists():
            raise _no_state(directory)
        log, shared = (path.with_name(f"{FILE}-{each}") for each in ("wal", "shm"))
        store = None
        if os.access(path.parent, os.W_OK) or shared.exists():
            store = cls(path, DatabaseConnection(path, _address(path, "mode=ro"), PATIENCE))
        elif not log.exists() or not log.stat().st_size:
            store = cls(path, DatabaseConnection(path, _address(path, "immutable=1"), PATIENCE))
        try:
            if store is not None:
                store._check_layout()
                if store._prepared():
                    return store
                store.close()
            copy = Path(tempfile.mkdtemp(prefix="septum-read-"))
            for each in (path, log):
                if each.exists():
                    shutil.copyfile(each, copy / each.name)
            store = cls(path, DatabaseConnection(path, _address(copy / FILE), PATIENCE), copy)
            store._check_layout()
            if not store._prepared():
                store._prepare(0.0)
        except BaseException:
            if store is not None:
                store.close()
            raise
        return store

    def close(self) -> None:
        self._db.close()
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)

    def _check_layout(self) -> None:
        """Raise `StoreError` for a layout that this version cannot read."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, schema.VERSION, *schema.UPGRADES):
            raise StoreError(
                f"{self.path}: has layout {version}, this septum reads {schema.VERSION}; "
                "use the version that wrote it"
            )

    def _prepared(self) -> bool:
        """Whether the tables are there; looked up without waiting for who writes."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
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

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside is as of one moment; writers are not held up, but their log
        grows meanwhile: nothing inside may wait for anybody."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    # -- the file as a whole ---------------------------------------------------

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy everything, as of one moment; writers are not held up."""
        self._db.copy_to(target)

    def broken_pages(self) -> list[str]:
        """What SQLite itself finds wrong with the file, at most twenty lines."""
        try:
            found = self._db.execute("PRAGMA integrity_check(20)")
        except StoreError as problem:
            return [str(problem)]
        lines = [" ".join(str(each).split()) for (each,) in found]
        return [] if lines == ["ok"] else [f"{self.path}: {each}" for each in lines]

    # -- what the directory is -------------------------------------------------

    def owner_id(self) -> str:
        """64 bits in hexadecimal, drawn once, that mark this directory's switches."""
        owner = self.meta("owner")
        if owner is None:
            raise StoreDamaged(self.path, "it carries no owner id")
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


def _address(path: Path, how: str = "mode=rw") -> str:
    return f"{path.absolute().as_uri()}?{how}"


def _no_state(directory: Path | str) -> StoreError:
    return StoreError(f"{directory}: no state here (no {FILE}); start `septum run` first")


def _make_private(path: Path) -> None:
    """The directory and an empty database that only their owner may read."""
    try:
        make_state(path.parent)
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

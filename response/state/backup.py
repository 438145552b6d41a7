"""The state directory as one file: a backup taken while it is written, and the way back.

A backup is a copy of the database, as of one moment, with a table of the other files: the keys, the
policy versions, the last good copies of feeds. It holds the keys, so it is as secret as the state.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from response.audit import checkpoints
from response.private_state import OURS, make_state
from response.state.database import FILE, Database
from response.state.database_connection import StoreDamaged, StoreError

FOLDERS = ("feeds", "policies")
LOCKS = ("lock", "analysis.lock")
NAME = re.compile(r"((feeds|policies)/)?[A-Za-z0-9_-]+\.(json|body|key|id|checkpoint)")
NEW = ".restoring"
ASIDE = "damaged-"


class BackupError(Exception):
    """The backup cannot be made or used, and nothing was changed; the text is one line."""


def back_up(state: Path, file: Path) -> tuple[str, ...]:
    """Write ``state`` to ``file``, whole or not at all, readable by its owner only.

    Returns the names of the files in it. Raises `BackupError`, `StoreError` or OSError.
    """
    if file.exists():
        raise BackupError(f"{file}: exists already; choose another name")
    with closing(Database.open_to_read(state)) as source:
        place = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.absolute().parent))
        try:
            part = place / file.name
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(part, isolation_level=None)) as target:
                source.copy_to(target)
                names = _add_files(target, state)
            problem = _problem_of(part)
            if problem is not None:
                raise StoreDamaged(source.path, problem)
            _to_disk(part)
            os.link(part, file)  # fails where somebody was quicker
            _to_disk(file.absolute().parent)
        except sqlite3.Error as problem:
            raise BackupError(f"{file}: cannot be written: {problem}") from None
        finally:
            shutil.rmtree(place)
    return (FILE, *names)


def restore(file: Path, state: Path, now: float) -> Path | None:
    """Make ``state`` from a backup; what was damaged there is moved aside, and where is returned.

    A sound state is never replaced. Raises `BackupError`, `StoreError` or OSError.
    """
    if not file.is_file():
        raise BackupError(f"{file}: no such file")
    problem = _problem_of(file)
    if problem is not None:
        raise BackupError(f"{file}: no backup that can be used: {problem}")
    if is_held(state):
        raise BackupError(f"{state} is in use; stop `septum run` first")
    if (state / FILE).exists() and (state / FILE).stat().st_size and _is_sound(state):
        raise BackupError(f"{state}: the state there is sound; move it away first, or name another")
    make_state(state)
    new = state / NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    try:
        _unpack(file, new)
    except sqlite3.Error as error:
        shutil.rmtree(new)
        raise BackupError(f"{state}: cannot be written: {error}") from None
    except BaseException:
        shutil.rmtree(new)
        raise
    aside = _move_aside(state, now)
    for each in sorted(new.iterdir()):
        os.rename(each, state / each.name)
    new.rmdir()
    _to_disk(state)
    make_state(state)
    return aside


def is_held(state: Path) -> bool:
    """Whether a controller or an analysis runs on it."""
    for name in LOCKS:
        try:
            handle = os.open(state / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
    return False


def _add_files(target: sqlite3.Connection, state: Path) -> tuple[str, ...]:
    target.execute("PRAGMA journal_mode=DELETE")
    target.execute("CREATE TABLE backup_files(name TEXT PRIMARY KEY, data BLOB NOT NULL)")
    files = dict(_files_of(state))
    # The one beside the database may be newer than the copy; this is the newest in it.
    row = target.execute(
        "SELECT data FROM audit WHERE kind=? ORDER BY seq DESC LIMIT 1", (checkpoints.KIND,)
    ).fetchone()
    if row is not None:
        files[checkpoints.FILE] = f"{row[0]}\n".encode()
    target.executemany("INSERT INTO backup_files VALUES(?,?)", sorted(files.items()))
    return tuple(sorted(files))


def _files_of(state: Path) -> Iterator[tuple[str, bytes]]:
    for folder in (state, *(state / name for name in FOLDERS)):
        for path in sorted(folder.glob("*")):
            name = path.relative_to(state).as_posix()
            kept = NAME.fullmatch(name) and name != checkpoints.FILE
            if kept and path.is_file() and not path.is_symlink():
                yield name, path.read_bytes()


def _problem_of(file: Path) -> str | None:
    """Why a file is no backup, or None."""
    try:
        address = f"{file.absolute().as_uri()}?immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as found:
            (verdict,) = found.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                return " ".join(str(verdict).split())
            for (name,) in found.execute("SELECT name FROM backup_files"):
                if not NAME.fullmatch(name):
                    return f"it would write {name!r}"
            if found.execute("SELECT 1 FROM meta WHERE key='owner'").fetchone() is None:
                return "it carries no owner id"
    except sqlite3.Error as problem:
        return str(problem)
    return None


def _is_sound(state: Path) -> bool:
    try:
        with closing(Database.open_to_read(state)) as found:
            found.owner_id()
            return not found.broken_pages()
    except StoreError:
        return False


def _unpack(file: Path, new: Path) -> None:
    os.close(os.open(new / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    address = f"{file.absolute().as_uri()}?immutable=1"
    with (
        closing(sqlite3.connect(address, uri=True)) as found,
        closing(sqlite3.connect(new / FILE, isolation_level=None)) as target,
    ):
        found.backup(target)
        target.execute("DROP TABLE backup_files")
        for name, data in found.execute("SELECT name, data FROM backup_files ORDER BY name"):
            path = new / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as written:
                written.write(data)
                written.flush()
                os.fsync(written.fileno())
    _to_disk(new / FILE)


def _move_aside(state: Path, now: float) -> Path | None:
    """Everything of the old state, into a folder of its own in the directory."""
    beside = (NEW, *LOCKS)
    old = [
        each
        for each in sorted(state.iterdir())
        if each.name not in beside and not each.name.startswith(ASIDE)
    ]
    if all(each.name in OURS and each.is_file() for each in old):
        return None
    aside = state / f"{ASIDE}{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}"
    aside.mkdir(mode=0o700)
    for each in old:
        os.rename(each, aside / each.name)
    return aside


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

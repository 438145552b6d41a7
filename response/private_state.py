"""The state directory belongs to its user alone, and so does everything in it.

`check_state` is the one door to a state directory: whatever opens one calls it first. `kept_key`
reads a key of a checked length, or makes it: whole, or not at all.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

MARK = "private"
"""A file in every directory that was checked. One without it is new or of an older version,
which may have left it readable, though not the files in it: it is made private once, if nobody
else could have written to it."""

OURS = ("lock", "owner.id", "clock.json", "feeds", "policies", MARK)
ENDINGS = (".key", ".sock", ".lock", ".db", ".db-wal", ".db-shm", ".new")
OTHERS, OTHERS_WRITE = 0o077, 0o022


class StateRefused(Exception):
    """A state directory or key that cannot be trusted; the text is one line with a remedy."""


def check_state(state: Path, evidence: bool = False) -> Path:
    """``state``, if it and all in it is the user's alone, or if it does not exist yet.

    ``evidence`` is only read, its signatures are checked, and others may read it too.
    Raises `StateRefused`.
    """
    forbidden = OTHERS_WRITE if evidence else OTHERS
    _check_parents(state)
    try:
        found = os.lstat(state)
    except FileNotFoundError:
        return state
    if stat.S_ISLNK(found.st_mode):
        raise StateRefused(f"{state} is a link; name the directory: --state {state.resolve()}")
    if not stat.S_ISDIR(found.st_mode):
        raise StateRefused(f"{state} is not a directory; choose another --state")
    _check_owner(state, state, found)
    inside = sorted(each.name for each in os.scandir(state) if _is_ours(each.name))
    for name in inside:
        _check_inside(state, state / name, forbidden)
    mode = stat.S_IMODE(found.st_mode)
    if mode & forbidden:
        if mode & OTHERS_WRITE or MARK in inside:
            raise _open_to_others(state, state)
        os.chmod(state, 0o700)
    if MARK not in inside and inside and not evidence:
        _mark(state)
    return state


def make_state(state: Path) -> Path:
    """``state``, checked, or made so that nobody else may look into it. Raises `StateRefused`, or
    OSError when it cannot be made."""
    check_state(state)
    if not state.exists():
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _mark(state)
    return state


def kept_key(path: Path, size: int, draw: Callable[[int], bytes]) -> bytes:
    """The ``size`` bytes of a key file, made from ``draw`` where there is none, at one stroke.

    Raises `StateRefused` for a file of another length, OSError where it cannot be read or made.
    """
    try:
        key = read_private(path, size + 1)
    except FileNotFoundError:
        write_new(path, draw(size))
        key = read_private(path, size + 1)
    if len(key) != size:
        raise StateRefused(
            f"{path}: a key has {size} bytes, not {len(key)}: restore it from a backup, or remove "
            f"it for a new one: rm {shlex.quote(str(path))}"
        )
    return key


def read_private(path: Path, most: int) -> bytes:
    """At most so many bytes of a file that is no link. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return file.read(most)


def write_new(path: Path, data: bytes) -> None:
    """Make a file that is on disk whole when it has its name; one that is there stays."""
    part = path.with_name(f"{path.name}.{os.getpid()}.new")
    part.unlink(missing_ok=True)
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:  # another process was quicker
            return
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def _is_ours(name: str) -> bool:
    return name in OURS or name.endswith(ENDINGS)


def _check_parents(state: Path) -> None:
    """Nobody else may rename what leads to the directory: a folder that others may write to has
    the sticky bit. (Its owner may; see docs/security.md.)"""
    for folder in state.resolve().parents:
        try:
            mode = folder.stat().st_mode
        except OSError:
            continue
        if mode & OTHERS_WRITE and not mode & stat.S_ISVTX and not _is_own_group(folder, mode):
            raise StateRefused(
                f"{state}: others may rename it, as they may write to {folder}: "
                f"chmod go-w {shlex.quote(str(folder))}"
            )


def _is_own_group(folder: Path, mode: int) -> bool:
    """Whether only the user's own primary group may write beside the user."""
    if mode & 0o002:
        return False
    group = folder.stat().st_gid
    members = [each for each in pwd.getpwall() if each.pw_gid == group]
    return [each.pw_uid for each in members] == [os.geteuid()]


def _check_inside(state: Path, path: Path, forbidden: int) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:  # a database's side file that was just closed
        return
    if stat.S_ISLNK(found.st_mode):
        raise StateRefused(f"{path} is a link, which Septum never makes: rm {_quoted(path)}")
    _check_owner(state, path, found)
    if stat.S_IMODE(found.st_mode) & forbidden:
        raise _open_to_others(state, path)


def _check_owner(state: Path, path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        owner, us = _name(found.st_uid), _name(os.geteuid())
        raise StateRefused(
            f"{path} belongs to {owner}, not to {us}: run as {owner} "
            f"(sudo -u {owner} septum …), or: chown -R {us} {_quoted(state)}"
        )


def _open_to_others(state: Path, path: Path) -> StateRefused:
    return StateRefused(
        f"{path} is open to others, who may have read its keys or changed it: "
        f"chmod -R go= {_quoted(state)}"
    )


def _mark(state: Path) -> None:
    try:
        write_new(
            state / MARK, b"Only the owner may read this directory; septum refuses another.\n"
        )
    except OSError:  # read only: it is checked again the next time
        return


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))

"""The file that says the controller is ready: made when it is, deleted at the end, never another's.

It holds the controller's process id and nothing else. A file like that which an earlier run left
behind is replaced; any other is somebody else's.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_DIGITS = 10

_Identity = tuple[int, int, int, int]


class ReadyFile:
    def __init__(self, path: Path) -> None:
        """Raises OSError where the file is somebody else's, or could not be written later."""
        self._path = path
        self._written: _Identity | None = None
        if not os.access(path.parent, os.W_OK | os.X_OK):
            os.stat(path.parent)  # says what is wrong, where it is not the right to write
            raise PermissionError(13, "no file can be made there", str(path.parent))
        if os.path.lexists(path):
            if not _left_behind(path):
                why = "exists and is not a ready file; remove it or name another --ready-file"
                raise FileExistsError(17, why, str(path))
            path.unlink()

    def write(self) -> None:
        """Say that the controller is ready. Raises OSError where a file is in the way by now."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "w") as file:
            file.write(f"{os.getpid()}\n")
            file.flush()
            self._written = _identity(os.fstat(file.fileno()))

    def remove(self) -> None:
        """Delete what was written, unless something else stands there by now."""
        try:
            status = os.lstat(self._path)
        except OSError:
            return
        if _identity(status) == self._written:
            self._path.unlink(missing_ok=True)


def _identity(status: os.stat_result) -> _Identity:
    """What tells a file from another one by its name, also where inodes are used again."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _left_behind(path: Path) -> bool:
    """Whether a regular file of ours holds a process id and nothing else."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    with path.open("rb") as file:
        text = file.read(MAX_DIGITS + 2)
    return text.endswith(b"\n") and text[:-1].isdigit()

"""Sources of policy files: the disk, or a stored copy. A copy gives the same policy as the files
did, with the same positions in its messages, even if the files have changed since.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

OUTSIDE = "lies outside the folder of the policy; --include-root DIR on the command line permits it"


class Sources(Protocol):
    def is_directory(self, path: Path) -> bool: ...
    def inside(self, path: Path) -> list[Path]:
        """The files of a directory, in order."""

    def real(self, path: Path) -> str:
        """What two names of one file have in common."""

    def within(self, path: Path) -> bool:
        """Whether a policy may name it; see `Disk`."""

    def exists(self, path: Path) -> bool: ...
    def missing(self, path: Path) -> str:
        """Why what does not exist does not, as the end of a sentence."""

    def is_file(self, path: Path) -> bool: ...
    def head(self, path: Path, count: int) -> bytes:
        """Its first bytes, at most ``count``. Raises OSError."""


class Disk:
    """The files as they are now.

    What a policy names, by include, link or feed, must lie inside the folder of a policy that a
    person named, or inside one of ``include_roots``: whoever writes a policy need not be one who
    may read every file of this machine.
    """

    def __init__(
        self, paths: Iterable[str | Path] = (), include_roots: Iterable[str | Path] = ()
    ) -> None:
        named = [Path(path) for path in paths]
        folders = (path if os.path.isdir(path) else path.parent for path in named)
        self._named = {os.path.abspath(path) for path in named}
        self._roots = [Path(os.path.realpath(root)) for root in (*folders, *include_roots)]

    def within(self, path: Path) -> bool:
        if os.path.abspath(path) in self._named:
            return True
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(root) for root in self._roots)

    def is_directory(self, path: Path) -> bool:
        return path.is_dir()

    def inside(self, path: Path) -> list[Path]:
        """Whatever is no directory: a dangling link or a pipe is read, and fails with a reason."""
        return sorted(found for found in path.iterdir() if not found.is_dir())

    def real(self, path: Path) -> str:
        return os.path.realpath(path)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def missing(self, path: Path) -> str:
        if path.is_symlink():
            return f"is a link to '{os.readlink(path)}', which does not exist"
        return "does not exist"

    def is_file(self, path: Path) -> bool:
        return path.is_file()

    def head(self, path: Path, count: int) -> bytes:
        with path.open("rb") as file:
            return file.read(count)


class CopiedSources:
    """Stored files: text by path. A directory holds the files that were read from it."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = {self.real(Path(name)): text for name, text in texts.items()}

    def is_directory(self, path: Path) -> bool:
        real = self.real(path)
        return real not in self._texts and any(
            os.path.dirname(name) == real for name in self._texts
        )

    def inside(self, path: Path) -> list[Path]:
        real = self.real(path)
        found = (name for name in self._texts if os.path.dirname(name) == real)
        return sorted(path / os.path.basename(name) for name in found)

    def real(self, path: Path) -> str:
        return os.path.abspath(path)

    def within(self, path: Path) -> bool:
        return True  # it was when the copy was made

    def exists(self, path: Path) -> bool:
        return self.is_file(path) or self.is_directory(path)

    def missing(self, path: Path) -> str:
        return "does not exist"

    def is_file(self, path: Path) -> bool:
        return self.real(path) in self._texts

    def head(self, path: Path, count: int) -> bytes:
        return self._texts[self.real(path)].encode()[:count]

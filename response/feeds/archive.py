"""Storage of feeds in the state directory: the last good copy and its metadata."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from response.feeds.keeper import FeedRecord

FOLDER = "feeds"


class FeedArchive:
    """``feeds/`` in a state directory: per feed a ``.json``, a ``.body`` and
    perhaps a ``.held``, readable by their
    owner only. Every file is replaced as a whole, so a crash leaves the old one or the new."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def records(self) -> dict[str, FeedRecord]:
        """What is known of each feed, by name; a file that cannot be read is as if not there."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=FeedRecord)
            except (OSError, ValueError):
                continue
            found[record.name] = record
        return found

    def keep(self, record: FeedRecord) -> None:
        self._write(self._path(record.name, "json"), msgspec.json.encode(record))

    def keep_body(self, name: str, data: bytes) -> None:
        self._write(self._path(name, "body"), data)

    def body(self, name: str) -> bytes:
        """The last good bytes. Raises OSError where there are none."""
        return self._path(name, "body").read_bytes()

    def hold(self, name: str, data: bytes) -> None:
        """Keep bytes that wait for a person, in place of any before."""
        self._write(self._path(name, "held"), data)

    def held(self, name: str) -> bytes:
        """The bytes that wait for a person. Raises OSError where there are none."""
        return self._path(name, "held").read_bytes()

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            for ending in ("json", "body", "held"):
                self._path(name, ending).unlink(missing_ok=True)

    def _path(self, name: str, ending: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.{ending}"

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f"{path.suffix}.{os.getpid()}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

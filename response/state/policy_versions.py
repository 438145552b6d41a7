"""Versions of the policy, each stored whole, and which one is in force.

In the state directory: ``policies/000007.json`` is a version (the texts of all its files, who,
when, why), written once; ``policies/standing.json`` says which version is in force, which came
before it, and what is to happen when nobody confirms it. Both are on disk before anything is
sent to a switch, so a process may die at any moment: the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from policies.language.errors import PolicyError
from policies.language.reader import load_policy, read_policy
from policies.language.sources import CopiedSources
from policies.model import Policy
from response.asker import Asker
from response.policy_event import PolicyEvent

FOLDER = "policies"
STANDING = "standing.json"
MAX_EVENTS = 500


class VersionError(Exception):
    """The request cannot be carried out; the text is one line for users."""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """``paths`` are what was read, absolute; ``texts`` the files that it came to, by path;
    ``digest`` the SHA-256 of both. ``reach`` says in words what it changes for host pairs."""

    number: int
    ts: float
    by: str
    digest: str
    paths: tuple[str, ...]
    texts: Mapping[str, str]
    note: str = ""
    reach: str = ""

    def policy(self) -> Policy:
        """As it was read then. Raises PolicyError where this program refuses it."""
        return load_policy(self.paths, CopiedSources(self.texts))


@dataclass(frozen=True, slots=True)
class Pending:
    """``version`` is reverted to ``revert_to`` at ``deadline`` unless confirmed."""

    version: int
    revert_to: int
    deadline: float
    by: str


@dataclass(frozen=True, slots=True)
class Standing:
    """``history`` are the versions that were in force, the present one last; ``given`` is the
    digest of the policy that the controller was last started with; ``events`` what was done."""

    history: tuple[int, ...] = ()
    given: str = ""
    staged: int | None = None
    pending: Pending | None = None
    events: tuple[PolicyEvent, ...] = ()

    @property
    def in_force(self) -> int | None:
        return self.history[-1] if self.history else None

    @property
    def previous(self) -> int | None:
        return self.history[-2] if len(self.history) > 1 else None

    def told(self, ts: float, what: str, version: int, by: Asker, note: str = "") -> Standing:
        """With one more event."""
        number = self.events[-1].number + 1 if self.events else 1
        event = PolicyEvent(number, ts, what, version, by.name, note, by.peer)
        return replace(self, events=(*self.events, event)[-MAX_EVENTS:])

    def applied(self, version: int) -> Standing:
        return replace(self, history=(*self.history, version), staged=None)

    def reverted(self) -> Standing:
        """Back to the version before."""
        return replace(self, history=self.history[:-1], pending=None)


class Versions:
    """The versions of one state directory. One process writes the standing: the controller."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def keep(
        self, paths: Sequence[str], contents: Mapping[str, str], by: str, ts: float,
        note: str = "", reach: str = "",
    ) -> PolicyVersion:  # fmt: skip
        """Write down a policy as the next version, and give it back."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        absolute = tuple(os.path.abspath(path) for path in paths)
        texts = {os.path.abspath(path): text for path, text in contents.items()}
        digest = digest_of(absolute, texts)
        number = max(self.numbers(), default=0) + 1
        while True:
            version = PolicyVersion(number, ts, by, digest, absolute, texts, note, reach)
            part = self._path(number).with_suffix(f".{os.getpid()}")
            _write(part, version)
            try:
                os.link(part, self._path(number))  # fails where another process was quicker
            except FileExistsError:
                number += 1
            else:
                return version
            finally:
                part.unlink()

    def version(self, number: int) -> PolicyVersion:
        """Raises `VersionError` where there is none, or it cannot be read."""
        path = self._path(number)
        try:
            version = msgspec.json.decode(path.read_bytes(), type=PolicyVersion)
        except FileNotFoundError:
            raise VersionError(f"there is no policy version {number}") from None
        except (OSError, ValueError) as problem:
            raise VersionError(f"{path}: cannot be read: {problem}") from None
        if digest_of(version.paths, version.texts) != version.digest:
            raise VersionError(f"{path}: was changed after it was kept: its digest does not fit")
        return version

    def all(self) -> tuple[PolicyVersion, ...]:
        """Every version that can be read, oldest first."""
        found = []
        for number in sorted(self.numbers()):
            try:
                found.append(self.version(number))
            except VersionError:
                continue
        return tuple(found)

    def standing(self) -> Standing:
        """Raises `VersionError` where it cannot be read; empty where nothing was ever in force."""
        path = self._folder / STANDING
        try:
            return msgspec.json.decode(path.read_bytes(), type=Standing)
        except FileNotFoundError:
            return Standing()
        except (OSError, ValueError) as problem:
            raise VersionError(f"{path}: cannot be read: {problem}") from None

    def stand(self, standing: Standing) -> None:
        """Store this as the standing, on disk when it returns."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{STANDING}.new"
        _write(part, standing)
        os.replace(part, self._folder / STANDING)
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def current(self) -> tuple[PolicyVersion, Policy] | None:
        """The version in force and its policy; None where nothing ever was."""
        number = self.standing().in_force
        if number is None:
            return None
        version = self.version(number)
        return version, version.policy()

    def numbers(self) -> list[int]:
        """Of every version that is kept, readable or not."""
        return [int(p.stem) for p in self._folder.glob("*.json") if p.stem.isdecimal()]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.json"


def at_start(
    versions: Versions,
    paths: Sequence[str],
    by: str,
    now: float,
    include_roots: Sequence[str] = (),
) -> PolicyVersion:
    """The version that a controller starts with, which is in force from now on.

    Started with the policy that it was started with before, it goes on with what was applied
    since, and with an apply that nobody confirmed for the time that is left, or without it where
    none is. Another policy is a new version. Raises PolicyError and `VersionError`.
    """
    read = read_policy(paths, include_roots=include_roots)
    if read.policy is None:
        raise PolicyError(read.diagnostics, read.texts)
    absolute = tuple(os.path.abspath(path) for path in paths)
    texts = {os.path.abspath(path): text for path, text in read.contents.items()}
    given = digest_of(absolute, texts)
    standing = versions.standing()
    if standing.in_force is None or given != standing.given:
        version = versions.keep(paths, read.contents, by, now, "given at the start")
        standing = replace(standing.applied(version.number), given=given, pending=None)
        versions.stand(standing.told(now, "started with", version.number, Asker(by)))
        return version
    pending = standing.pending
    if pending is not None and now >= pending.deadline:
        standing = standing.reverted()
        versions.stand(
            standing.told(
                now, "reverted", pending.revert_to, Asker(by), "nobody confirmed it in time"
            )
        )
    assert standing.in_force is not None
    return versions.version(standing.in_force)


def digest_of(paths: Sequence[str], texts: Mapping[str, str]) -> str:
    """SHA-256 over what was read and what stood in it."""
    body = json.dumps([list(paths), sorted(texts.items())], ensure_ascii=False)
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def _write(path: Path, value: PolicyVersion | Standing) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1))
        file.flush()
        os.fsync(file.fileno())

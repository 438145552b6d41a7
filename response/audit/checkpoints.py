"""Signed checkpoints, which reveal a record that was cut off or rewritten.

A hash chain alone shows edits only to who remembers its end: someone with write access could
write all of it anew, or cut its tail and set the head back. A checkpoint is an entry of the chain
itself that signs the number and hash of the entry before it. The newest one is also kept in a file
beside the database, so that a tail cut off with its checkpoints is missed there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from response.audit.chain import MAX_PROBLEMS, AuditEntry, AuditHead, canonical
from response.audit.signing import Signer, is_signed

FILE = "audit.checkpoint"
EVERY_SECONDS = 60.0
EVERY_ENTRIES = 500
KIND = "checkpoint"
_IN_A_LINE = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The ``number``-th (from 1) of a record whose entry ``seq`` has ``hash``, signed by the
    owner of ``key`` (hexadecimal); its own entry is ``seq + 1``. ``record`` is the state
    directory's own id: a checkpoint of another record proves nothing about this one."""

    number: int
    ts: float
    record: str
    seq: int
    hash: str
    key: str
    signature: str = ""

    def signed(self) -> bytes:
        """What the signature covers."""
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return canonical(fields).encode()

    @property
    def genuine(self) -> bool:
        """Signed by its own key; whether that is the right key is another question."""
        return is_signed(self.key, self.signed(), self.signature)


def made(signer: Signer, number: int, ts: float, record: str, head: AuditHead) -> Checkpoint:
    """A checkpoint over everything up to ``head``."""
    plain = Checkpoint(number, float(ts), record, head.seq, head.hash, signer.public)
    return Checkpoint(
        plain.number, plain.ts, plain.record, plain.seq, plain.hash, plain.key,
        signer.sign(plain.signed()),
    )  # fmt: skip


def read(data: str) -> Checkpoint:
    """From an entry's or a file's JSON. Raises ValueError for what is no checkpoint."""
    return msgspec.json.decode(data, type=Checkpoint)


def line(checkpoint: Checkpoint) -> str:
    """As it stands in files and logs; `read` reads it."""
    return canonical(asdict(checkpoint))


def read_file(path: Path) -> Checkpoint | None:
    """The checkpoint in a file. Raises OSError, or ValueError for a file that holds none."""
    try:
        return read(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


def read_log(path: Path, record: str) -> tuple[Checkpoint, ...]:
    """All of one record that the lines of a file hold, whatever else stands in them: a copy of
    `FILE`, or a log, also one that writes each line quoted in JSON. Raises OSError."""
    found: dict[Checkpoint, None] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for each in lines:
            for part in _IN_A_LINE.findall(each):
                try:
                    checkpoint = read(part.replace('\\"', '"'))
                except ValueError:
                    continue
                if checkpoint.record == record:
                    found[checkpoint] = None
    return tuple(found)


def write_file(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file as a whole: a crash leaves the old one or the new."""
    part = path.with_suffix(".new")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(line(checkpoint) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


class SealCheck:
    """Looks at a chain's checkpoints while `response.audit.chain.check_chain` walks it.

    ``key`` is whose signature counts (hexadecimal), None where nobody knows; ``kept`` the newest
    checkpoint that the state directory keeps apart, ``witnesses`` more that were noted elsewhere,
    of which the newest that the record holds is ``witnessed_to`` (the last entry it signs). The
    walk begins after entry ``after``: what is archived before that is not looked at.
    """

    def __init__(
        self, record: str, key: str | None, kept: Checkpoint | None,
        witnesses: Iterable[Checkpoint] = (), after: int = 0,
    ) -> None:  # fmt: skip
        self._record, self._key, self._kept = record, key, kept
        self._awaited: dict[int, list[Checkpoint]] = {}  # by the number of their own entry
        self._witnesses = frozenset(witnesses)
        for checkpoint in self._witnesses.union(() if kept is None else (kept,)):
            if checkpoint.seq >= after:
                self._awaited.setdefault(checkpoint.seq + 1, []).append(checkpoint)
        self._number = None if after else 0  # of the last one seen
        self._last = 0
        self.signed_to = 0
        self.witnessed_to = 0
        self.problems: list[str] = []

    def watched(self, entries: Iterable[AuditEntry]) -> Iterator[AuditEntry]:
        for entry in entries:
            self._see(entry)
            yield entry

    def finish(self) -> list[str]:
        """What is wrong, once the whole chain has passed."""
        beyond = [each for seq in sorted(self._awaited) for each in self._awaited[seq]]
        strange = [each for each in beyond if not self._is_ours(each)]
        self.problems += map(_not_signed, strange[:MAX_PROBLEMS])
        newest = next((each for each in reversed(beyond) if self._is_ours(each)), None)
        if newest is not None:
            self.problems.append(
                f"the end is cut off: checkpoint {newest.number} was made at entry "
                f"{newest.seq + 1}, the record ends at {self._last}"
            )
        if self._kept is None and self._number:
            self.problems.append(f"{FILE} is missing, though the record has checkpoints")
        if self._key is None and (self._number or self._kept is not None):
            self.problems.append("the key is missing: checkpoints cannot be checked; give --key")
        elif self._key is not None and not self._number and self._last:
            self.problems.append("there is a key, but the record has no checkpoint")
        return self.problems

    def _see(self, entry: AuditEntry) -> None:
        self._last = entry.seq
        awaited = self._awaited.pop(entry.seq, ())
        found = None
        if entry.kind == KIND:
            try:
                found = read(entry.data)
            except ValueError:
                found = None
            self._judge(entry, found)
        for checkpoint in awaited:
            if checkpoint != found:
                self._mismatch(checkpoint)
            elif checkpoint in self._witnesses:
                self.witnessed_to = checkpoint.seq

    def _mismatch(self, awaited: Checkpoint) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            return
        if not self._is_ours(awaited):
            self.problems.append(_not_signed(awaited))
        self.problems.append(
            f"entry {awaited.seq + 1} is not checkpoint {awaited.number}, which was made there: "
            "the record was written anew"
        )

    def _judge(self, entry: AuditEntry, found: Checkpoint | None) -> None:
        if found is None or line(found) != entry.data or found.ts != entry.ts:
            self.problems.append(f"entry {entry.seq}: what it says is no checkpoint")
            return
        if self._number is not None and found.number != self._number + 1:
            self.problems.append(
                f"entry {entry.seq}: checkpoint {found.number} comes after {self._number}"
            )
        self._number = found.number
        if (found.seq, found.hash) != (entry.seq - 1, entry.prev):
            self.problems.append(
                f"entry {entry.seq}: checkpoint {found.number} was made over other entries: "
                "the record was written anew"
            )
        elif self._is_ours(found):
            self.signed_to = found.seq
        elif self._key is not None:
            self.problems.append(
                f"entry {entry.seq}: checkpoint {found.number} is not signed by the key"
            )

    def _is_ours(self, checkpoint: Checkpoint) -> bool:
        return (
            checkpoint.record == self._record
            and (self._key is None or checkpoint.key == self._key)
            and checkpoint.genuine
        )


def _not_signed(checkpoint: Checkpoint) -> str:
    return f"checkpoint {checkpoint.number} beside the record is not signed by the key"

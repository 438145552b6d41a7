"""The arithmetic of the audit chain: what an entry's hash is, and what breaks a chain.

Each entry's SHA-256 covers its number, time, kind, data and the hash of the
entry before it, so no entry can be changed, taken out, put in or moved without
every later hash being wrong. The head (number and hash of the last entry) is
kept apart, so that cutting entries off the end is found as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
"""What the first entry names as the hash before it."""

MAX_PROBLEMS = 20
"""A broken chain is reported by its first problems, not by all that follow."""


class EntryError(ValueError):
    """An entry's data cannot be read; the text is one line for users."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the record; ``data`` is canonical JSON text, ``seq`` counts from 1."""

    seq: int
    ts: float
    kind: str
    data: str
    prev: str
    hash: str

    def values(self) -> dict[str, Any]:
        """``data``, parsed. Raises `EntryError` where it was changed to what is no object."""
        try:
            values = json.loads(self.data)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise EntryError(
                f"audit entry {self.seq} cannot be read; `septum audit verify` shows what is wrong"
            )
        return values


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where the chain ends: the last entry's number and hash (0 and `GENESIS` if empty)."""

    seq: int = 0
    hash: str = GENESIS


BEGIN = AuditHead()


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of a verification: without problems the record is intact.

    Everything up to entry ``signed_to`` is signed by the owner of ``key`` (hexadecimal), and
    everything up to ``witnessed_to`` by a checkpoint that is also stored elsewhere.
    """

    entries: int
    head: AuditHead
    problems: tuple[str, ...]
    signed_to: int = 0
    key: str | None = None
    witnessed_to: int = 0

    @property
    def whole(self) -> bool:
        return not self.problems


def canonical(data: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: the same values give the same bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def entry_hash(seq: int, ts: float, kind: str, data: str, prev: str) -> str:
    """SHA-256, in hexadecimal, over the JSON list of the five values."""
    # surrogatepass: a hash must exist for whatever text someone wrote into the file
    body = json.dumps([seq, float(ts), kind, data, prev], ensure_ascii=False)
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def next_entry(head: AuditHead, ts: float, kind: str, data: Mapping[str, Any]) -> AuditEntry:
    """The entry that follows ``head``."""
    text, seq, when = canonical(data), head.seq + 1, float(ts)
    return AuditEntry(
        seq, when, kind, text, head.hash, entry_hash(seq, when, kind, text, head.hash)
    )


def check_chain(
    entries: Iterable[AuditEntry], head: AuditHead, base: AuditHead = BEGIN
) -> AuditReport:
    """Walk the chain in stored order and compare its end with the head kept apart.

    ``base`` is what the first entry follows, where those before are archived.

    Finds an edited entry (its own hash is wrong), a gap (numbers missing), a
    reorder or a replaced entry (the hash before it does not match) and a cut end.
    """
    problems: list[str] = []
    count, last = 0, base
    for entry in entries:
        count += 1
        if len(problems) < MAX_PROBLEMS:
            problems.extend(_link_problems(entry, last))
        last = AuditHead(entry.seq, entry.hash)
    if last != head:
        if last.seq < head.seq:
            problems.append(f"the end is cut off: entries {last.seq + 1} to {head.seq} are missing")
        else:
            problems.append(f"entry {last.seq} is not the one that was last recorded ({head.seq})")
    return AuditReport(count, last, tuple(problems))


def _link_problems(entry: AuditEntry, last: AuditHead) -> Iterable[str]:
    if entry.seq > last.seq + 1:
        missing = f"{last.seq + 1}" + (f" to {entry.seq - 1}" if entry.seq > last.seq + 2 else "")
        yield f"gap: entry {missing} missing before {entry.seq}"
    elif entry.seq <= last.seq:
        yield f"reordered: entry {entry.seq} comes after {last.seq}"
    elif entry.prev != last.hash:
        yield f"entry {entry.seq} does not follow entry {last.seq}: one of them was replaced"
    if entry.hash != entry_hash(entry.seq, entry.ts, entry.kind, entry.data, entry.prev):
        yield f"entry {entry.seq} was edited: its content does not match its hash"

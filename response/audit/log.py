"""The record of what was seen, decided and done: append-only and hash-chained.

One decision's story reads from the evidence (`alert`) over `decision` and
`enforce` (what the controller was asked to put on switches) to `confirmed`
(what a switch acknowledged by barrier) and `released` or `expired`, with the
person or the policy that approved it. Every entry that belongs to a decision
carries its id as ``decision``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

from response.asker import Peer
from response.audit import checkpoints
from response.audit.archive import KIND, ArchivedSegment, Past, follow, newest
from response.audit.chain import (
    BEGIN,
    AuditEntry,
    AuditHead,
    AuditReport,
    check_chain,
    next_entry,
)
from response.audit.checkpoints import Checkpoint, SealCheck
from response.audit.signing import Signer

Kind = Literal[
    "started",  # the analysis came up
    "policy",  # the policy that the controller goes by, or that it refused
    "rollout",  # a policy version was staged, applied, confirmed, rolled back, reverted
    "switch",  # a switch connected, was reconciled, failed
    "link",  # a cable's ports became trunks, are none any more, or were refused
    "host",  # undeclared hosts that were found, moved or left, over a while
    "spoof",  # spoofed packets, counted over a while
    "lost",  # records that a full queue dropped, counted
    "alert",  # what was seen, with features, path and records
    "decision",  # a decision was made: active or proposed
    "approved", "rejected", "released", "expired",  # how it went on
    "extended",  # it covers another address of its host, or holds for longer
    "reward",  # what came of a choice: safe traffic carried, exposure left, a person's word
    "enforce", "withdraw",  # what was asked of the controller
    "confirmed", "removed",  # what a switch acknowledged by barrier
    "feed",  # a threat feed was loaded, failed, or became too old
    "checkpoint",  # a signature over everything before it
    "archived",  # old entries were moved to a file
    "storage",  # the store could not be written for a while, and what is missing since
    "clock",  # the system's clock was put forward or back
    "hold",  # automatic action was stopped or resumed
    "model",  # a snapshot was kept or gone back to, a challenger compared, promoted, dismissed
]  # fmt: skip


class AuditStore(Protocol):
    """Where the chain is kept. Every method is safe while another process writes."""

    def transaction(self) -> AbstractContextManager[None]:
        """Keep all changes inside together, on disk when it returns, or none."""

    def reading(self) -> AbstractContextManager[None]:
        """Read everything inside as of one moment; writers are not held up."""

    def owner_id(self) -> str: ...
    def audit_head(self) -> AuditHead: ...
    def put_audit(self, entry: AuditEntry) -> None: ...
    def drop_archived(self, upto: int) -> None: ...
    def audit_entries(
        self, after: int = 0, kind: str | None = None, upto: int | None = None
    ) -> Iterator[AuditEntry]: ...

    def meta(self, key: str) -> str | None: ...
    def set_meta(self, key: str, value: str | None) -> None: ...


class Audit:
    """The chain in a store."""

    def __init__(
        self, store: AuditStore, signer: Signer | None = None, beside: Path | None = None
    ) -> None:
        """``signer`` signs checkpoints, of which the newest is kept in the directory ``beside``;
        without them there are none."""
        self._store = store
        self._signer = signer
        self._beside = beside
        self._sealed: tuple[float, int] | None = None  # when and up to which entry
        self._peer: Peer | None = None

    @contextmanager
    def on_behalf_of(self, peer: Peer) -> Iterator[None]:
        """Every entry made meanwhile records who asked for it, beside the name that was given."""
        self._peer = peer
        try:
            yield
        finally:
            self._peer = None

    def append(self, ts: float, kind: Kind, data: Mapping[str, Any]) -> AuditEntry:
        """Add one entry, in the caller's transaction where one is open."""
        if self._peer is not None:
            data = {**data, **self._peer.facts()}
        with self._store.transaction():
            entry = next_entry(self._store.audit_head(), ts, kind, data)
            self._store.put_audit(entry)
        return entry

    def entries(
        self,
        after: int = 0,
        kind: str | None = None,
        decision: str | None = None,
        upto: int | None = None,
    ) -> Iterator[AuditEntry]:
        """In order; those of one kind, of one decision's story, or up to a number."""
        for entry in self._store.audit_entries(after, kind, upto):
            if decision is None or entry.values().get("decision") == decision:
                yield entry

    def seal(self, now: float, ending: bool = False) -> Checkpoint | None:
        """Make a checkpoint where one is due: at the first call, and when there are new entries
        and `checkpoints.EVERY_SECONDS` have passed, `checkpoints.EVERY_ENTRIES` are new, or it is
        the end. Call it now and then, outside of transactions."""
        if self._signer is None or self._beside is None:
            return None
        head = self._store.audit_head()
        if self._sealed is not None:
            at, upto = self._sealed
            new = head.seq - upto
            late = now - at >= checkpoints.EVERY_SECONDS or new >= checkpoints.EVERY_ENTRIES
            if not new or not (late or ending):
                return None
        with self._store.transaction():
            head = self._store.audit_head()
            number = int(self._store.meta("checkpoint") or 0) + 1
            made = checkpoints.made(self._signer, number, now, self._store.owner_id(), head)
            entry = self.append(now, "checkpoint", asdict(made))
            self._store.set_meta("checkpoint", str(number))
        self._sealed = now, entry.seq
        # Only after it is on disk: a checkpoint apart of an entry that never was is an alarm.
        checkpoints.write_file(self._beside / checkpoints.FILE, made)
        return made

    def verify(self) -> AuditReport:
        """Check the chain that is stored against its head, as of one moment."""
        with self._store.reading():
            past = self._archived(None)
            base = past.end if past is not None else BEGIN
            return check_chain(self._store.audit_entries(), self._store.audit_head(), base)

    def verify_signed(
        self,
        key: str | None,
        kept: Checkpoint | None,
        witnesses: Iterable[Checkpoint] = (),
        archives: Iterable[Path] | None = None,
    ) -> AuditReport:
        """As `verify`, and its checkpoints too; see `response.audit.checkpoints.SealCheck`.

        Archives are followed, also in the files ``archives``, unless that is None.
        """
        with self._store.reading():
            record, unread = self._store.owner_id(), list[str]()
            segment = self._archived(key)
            if archives is None:
                past = Past(base=BEGIN if segment is None else segment.end)
            else:
                past = follow(segment, archives, lambda each: each.is_of(record, key))
            seals = SealCheck(record, key, kept, witnesses, past.base.seq)
            entries = chain(past.entries(unread), self._store.audit_entries())
            report = check_chain(seals.watched(entries), self._store.audit_head(), past.base)
        return replace(
            report,
            problems=(*past.problems, *unread, *report.problems, *seals.finish()),
            signed_to=seals.signed_to,
            key=key,
            witnessed_to=seals.witnessed_to,
        )

    def _archived(self, key: str | None) -> ArchivedSegment | None:
        """What was archived last."""
        return newest(self._store.audit_entries(kind=KIND), self._store.owner_id(), key)

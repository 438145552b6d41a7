"""The record of what was seen, decided and done: append-only and hash-chained.

One decision's story reads from the evidence (`alert`) over `decision` and
`enforce` (what the controller was asked to put on switches) to `confirmed`
(what a switch acknowledged by barrier) and `released` or `expired`, with the
person or the policy that approved it. Every entry that belongs to a decision
carries its id as ``decision``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from response.chain import AuditEntry, AuditReport, check_chain, next_entry
from response.interfaces import StateStore

Kind = Literal[
    "started",  # the analysis came up
    "policy",  # a policy was applied or refused
    "switch",  # a switch connected, was reconciled, failed
    "spoof",  # spoofed packets, counted over a while
    "lost",  # records that a full queue dropped, counted
    "alert",  # what was seen, with features, path and records
    "decision",  # a decision was made: active or proposed
    "approved", "rejected", "released", "expired",  # how it went on
    "extended",  # its host took another address, which it now covers too
    "enforce", "withdraw",  # what was asked of the controller
    "confirmed", "removed",  # what a switch acknowledged by barrier
    "feed",  # a threat feed was loaded, failed, or became too old
    "hold",  # automatic action was stopped or resumed
]  # fmt: skip


class Audit:
    """The chain in a store."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def append(self, ts: float, kind: Kind, data: Mapping[str, Any]) -> AuditEntry:
        """Add one entry, in the caller's transaction where one is open."""
        with self._store.transaction():
            entry = next_entry(self._store.audit_head(), ts, kind, data)
            self._store.put_audit(entry)
        return entry

    def entries(
        self, after: int = 0, kind: str | None = None, decision: str | None = None
    ) -> Iterator[AuditEntry]:
        """In order; those of one kind, or of one decision's story."""
        for entry in self._store.audit_entries(after, kind):
            if decision is None or entry.values().get("decision") == decision:
                yield entry

    def verify(self) -> AuditReport:
        """Check the whole chain against its head, as of one moment."""
        with self._store.reading():
            return check_chain(self._store.audit_entries(), self._store.audit_head())


def as_jsonl(entry: AuditEntry) -> str:
    """One line of ``audit export --format jsonl``; `response.chain.entry_hash` can be
    recomputed from it (``data`` in canonical form)."""
    return json.dumps(
        {
            "seq": entry.seq,
            "ts": entry.ts,
            "kind": entry.kind,
            "data": entry.values(),
            "prev": entry.prev,
            "hash": entry.hash,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )

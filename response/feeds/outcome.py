"""What came of loading one feed, as bytes: a child process does the work and says it so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import msgpack  # type: ignore[import-untyped, unused-ignore]

from policies.model import Service
from policies.semantics.prefixes import packed, unpacked
from response.feeds.entries import FeedError, Note, Notes
from response.feeds.keeper import SourceReply
from response.feeds.load import Listing, Loaded


@dataclass(frozen=True, slots=True)
class FeedRefresh:
    """``error`` says why nothing came of it; else ``answer`` and ``loaded`` are there."""

    error: str | None = None
    answer: SourceReply | None = None
    loaded: Loaded | None = None

    def result(self) -> tuple[SourceReply, Loaded]:
        """Raises `FeedError` where there is none."""
        if self.answer is None or self.loaded is None:
            raise FeedError(self.error or "nothing came of it")
        return self.answer, self.loaded


def dumps(outcome: FeedRefresh) -> bytes:
    if outcome.answer is None or outcome.loaded is None:
        return cast("bytes", msgpack.packb([outcome.error or "nothing came of it"]))
    answer, loaded = outcome.answer, outcome.loaded
    listings = [
        [_service(each.service), each.direction, packed(each.prefixes)] for each in loaded.listings
    ]
    counts = [loaded.entries, loaded.in_force, loaded.unsure, loaded.not_yet, loaded.ended]
    notes = [
        [[[n.line, n.text, n.reason] for n in each.first], dict(each.counts)]
        for each in (loaded.bad, loaded.passed_over, loaded.refused)
    ]
    said = [answer.unchanged, answer.etag, answer.modified, answer.digest]
    row = [None, said, listings, counts, notes, loaded.changes_at]
    return cast("bytes", msgpack.packb(row))


def loads(data: bytes) -> FeedRefresh:
    """Raises ValueError for what `dumps` cannot have written."""
    row = msgpack.unpackb(data)
    if row[0] is not None:
        return FeedRefresh(str(row[0]))
    _, said, listings, (entries, in_force, unsure, not_yet, ended), notes, changes_at = row
    bad, passed_over, refused = (
        Notes([Note(*note) for note in first], Counter(found)) for first, found in notes
    )
    return FeedRefresh(
        None,
        SourceReply(*said),
        Loaded(
            tuple(
                Listing(None if service is None else Service(*service), direction, unpacked(found))
                for service, direction, found in listings
            ),
            entries,
            in_force,
            unsure,
            not_yet,
            ended,
            bad,
            passed_over,
            refused,
            changes_at,
        ),
    )


def _service(service: Service | None) -> list[Any] | None:
    return None if service is None else [service.proto, service.low, service.high]

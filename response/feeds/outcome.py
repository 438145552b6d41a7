"""The result of loading one feed, as bytes that a child process sends to its parent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from policies.model import Service
from policies.semantics.prefixes import packed, unpacked
from response.feeds.entries import Direction, FeedError, Note, Notes
from response.feeds.keeper import SourceReply
from response.feeds.load import Listing, Loaded


@dataclass(frozen=True, slots=True)
class FeedRefresh:
    """``error`` is the reason of a failure, with ``held`` the digest of what waits for a person;
    otherwise ``answer`` and ``loaded`` are set."""

    error: str | None = None
    answer: SourceReply | None = None
    loaded: Loaded | None = None
    held: str = ""

    def result(self) -> tuple[SourceReply, Loaded]:
        """Raises `FeedError` where there is none."""
        if self.answer is None or self.loaded is None:
            raise FeedError(self.error or "nothing came of it")
        return self.answer, self.loaded


class _Failed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    error: str
    held: str


class _Packed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A good outcome; ``counts`` and ``notes`` are those of `Loaded`, in its order."""

    answer: SourceReply
    listings: tuple[tuple[Service | None, Direction, bytes], ...]
    counts: tuple[int, int, int, int, int]
    own: int
    notes: tuple[_Remarks, _Remarks, _Remarks]
    changes_at: float | None


_Remarks = tuple[tuple[Note, ...], dict[str, int]]
_DECODER: msgspec.msgpack.Decoder[_Failed | _Packed] = msgspec.msgpack.Decoder(_Failed | _Packed)


def dumps(outcome: FeedRefresh) -> bytes:
    if outcome.answer is None or outcome.loaded is None:
        error = outcome.error or "nothing came of it"
        return msgspec.msgpack.encode(_Failed(error, outcome.held))
    loaded = outcome.loaded
    return msgspec.msgpack.encode(
        _Packed(
            outcome.answer,
            tuple((e.service, e.direction, packed(e.prefixes)) for e in loaded.listings),
            (loaded.entries, loaded.in_force, loaded.unsure, loaded.not_yet, loaded.ended),
            loaded.own,
            (_remarks(loaded.bad), _remarks(loaded.passed_over), _remarks(loaded.refused)),
            loaded.changes_at,
        )
    )


def loads(data: bytes) -> FeedRefresh:
    """Raises ValueError for what `dumps` cannot have written."""
    found = _DECODER.decode(data)
    if isinstance(found, _Failed):
        return FeedRefresh(found.error, held=found.held)
    listings = tuple(
        Listing(service, direction, unpacked(prefixes))
        for service, direction, prefixes in found.listings
    )
    bad, passed_over, refused = (
        Notes(list(first), Counter(counts)) for first, counts in found.notes
    )
    loaded = Loaded(listings, *found.counts, bad, passed_over, refused, found.changes_at, found.own)
    return FeedRefresh(None, found.answer, loaded)


def _remarks(notes: Notes) -> _Remarks:
    return tuple(notes.first), dict(notes.counts)

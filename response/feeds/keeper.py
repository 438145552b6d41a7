"""Schedule and age of feeds: when each is due, its last good copy, and when that is too old. Pure
bookkeeping: `Keeper` takes the time and results of fetches, and returns what to do next.
`analysis.feed_service` carries it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from policies.model import Feed, Mode
from response.feeds.entries import Note, Notes
from response.feeds.load import Loaded

Age = Literal["waiting", "fresh", "stale", "aged out"]

MIN_REFRESH = {False: 1.0, True: 30.0}
"""Seconds between two looks at a file, and at somebody's server."""

FIRST_RETRY = 30.0  # seconds; doubled with every failure, up to the feed's refresh
STALE_AFTER = 2  # refreshes without a good answer
AGED_OUT_AFTER = 24  # refreshes
AGED_OUT_AT_LEAST = 86_400.0  # seconds: a night of a broken server empties no list


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """One feed as it is kept: written to the state directory, shown by ``septum feeds list``.

    ``source`` tells a feed whose address or format has changed; ``tried_at`` is when its source
    was asked last, ``good_at`` when it last gave, or confirmed, what is in force; ``shown`` is its
    address without anything secret; ``held`` is the digest of a copy that waits for a person,
    ``own_count`` the entries left out as private or ours.
    """

    name: str
    source: str
    shown: str
    format: str
    mode: str
    refresh: float
    due_at: float = 0.0
    tried_at: float | None = None
    good_at: float | None = None
    etag: str | None = None
    modified: str | None = None
    digest: str = ""
    error: str | None = None
    failures: int = 0
    changes_at: float | None = None
    entries: int = 0
    in_force: int = 0
    prefixes: int = 0
    unsure: int = 0
    not_yet: int = 0
    ended: int = 0
    bad: tuple[Note, ...] = ()
    refused: tuple[Note, ...] = ()
    bad_count: int = 0
    refused_count: int = 0
    passed_over_count: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    own_count: int = 0
    held: str = ""

    def age(self, now: float) -> Age:
        """Its freshness at ``now``: `fresh`, `stale` or `aged out`."""
        if self.good_at is None:
            return "waiting"
        old = now - self.good_at
        if old >= max(AGED_OUT_AFTER * self.refresh, AGED_OUT_AT_LEAST):
            return "aged out"
        return "stale" if self.failures and old >= STALE_AFTER * self.refresh else "fresh"

    @property
    def ages_out_at(self) -> float | None:
        if self.good_at is None:
            return None
        return self.good_at + max(AGED_OUT_AFTER * self.refresh, AGED_OUT_AT_LEAST)


@dataclass(frozen=True, slots=True)
class Work:
    """Load a feed: from its source (``fetch``), or again from what was kept; the copy with the
    digest ``accepted`` instead, where a person has accepted one."""

    feed: Feed
    record: FeedRecord
    fetch: bool
    started: float = 0.0
    accepted: str = ""


@dataclass(frozen=True, slots=True)
class SourceReply:
    """The result of a fetch. ``unchanged``: the stored copy is still current."""

    unchanged: bool
    etag: str | None = None
    modified: str | None = None
    digest: str = ""


class Keeper:
    """The feeds of the policy in force. ``records`` are what an earlier run kept, by name."""

    def __init__(
        self,
        feeds: Iterable[Feed],
        records: Mapping[str, FeedRecord],
        listed: Iterable[str] = (),
    ) -> None:
        """``listed`` are the feeds that an earlier run left in force; after this, ``gone`` are
        those of them that may not stay so."""
        self._records = dict(records)
        self._feeds: dict[str, Feed] = {}
        self._busy: set[str] = set()
        self._asked: set[str] = set()  # by a person, while they were busy
        self._reload: set[str] = set()
        self._accepted: dict[str, str] = {}  # digests by name
        self._listed = set(listed)
        changed = self.use(feeds)
        self.gone = (*changed, *(name for name in sorted(self._listed) if not self.has(name)))
        self._listed.difference_update(self.gone)

    def use(self, feeds: Iterable[Feed]) -> tuple[str, ...]:
        """Follow another policy; the names of feeds that are gone or come from elsewhere now,
        of which nothing may stay in force."""
        before = self._feeds
        self._feeds = {feed.name: feed for feed in feeds}
        gone = [name for name in before if name not in self._feeds]
        for name, feed in self._feeds.items():
            fresh = FeedRecord(
                name, source_of(feed), shown(feed.path), feed.format, feed.mode.name.lower(),
                max(feed.refresh, MIN_REFRESH[is_remote(feed.path)]),
            )  # fmt: skip
            known = self._records.get(name)
            if known is None or known.source != fresh.source:
                self._records[name] = fresh
                if known is not None:
                    gone.append(name)
            else:
                self._records[name] = replace(known, mode=fresh.mode, refresh=fresh.refresh)
                self._reload.add(name)
        self._records = {n: record for n, record in self._records.items() if n in self._feeds}
        self._listed.difference_update(gone)
        return tuple(gone)

    def again(self) -> None:
        """Check the stored copies again, since the addresses that must not be listed have
        changed."""
        self._reload.update(self._feeds)

    def refresh(self, names: Iterable[str]) -> tuple[str, ...]:
        """Make feeds due now (none named: all); the names that no feed has."""
        wanted = tuple(names) or tuple(self._feeds)
        for name in wanted:
            if name in self._busy:
                self._asked.add(name)
            elif name in self._records:
                self._records[name] = replace(self._records[name], due_at=0.0)
        return tuple(name for name in wanted if name not in self._feeds)

    def accept(self, name: str) -> str:
        """Take the held copy of a feed at the next turn; its digest, empty where none is held."""
        record = self._records.get(name)
        if record is None or not record.held:
            return ""
        self._accepted[name] = record.held
        return record.held

    def due(self, now: float) -> Work | None:
        """What to do next, if anything; `done` or `failed` must follow."""
        for name, feed in self._feeds.items():
            if name in self._busy:
                continue
            record = self._records[name]
            if accepted := self._accepted.pop(name, ""):
                self._busy.add(name)
                return Work(feed, record, True, now, accepted)
            kept = record.good_at is not None and record.age(now) != "aged out"
            if name in self._reload and kept:
                self._reload.discard(name)
                self._busy.add(name)
                return Work(feed, record, False, now)
            if record.due_at <= now:
                self._busy.add(name)
                return Work(feed, record, True, now)
            if kept and record.changes_at is not None and record.changes_at <= now:
                self._busy.add(name)
                return Work(feed, record, False, now)
        return None

    def done(
        self, work: Work, answer: SourceReply, loaded: Loaded, now: float
    ) -> FeedRecord | None:
        """Take in what was loaded; None when the policy has moved on meanwhile."""
        record = self._finish(work)
        if record is None:
            return None
        if work.fetch:
            record = replace(
                record, tried_at=work.started, good_at=now, error=None, failures=0, held="",
                due_at=now + record.refresh,
                etag=answer.etag, modified=answer.modified, digest=answer.digest or record.digest,
            )  # fmt: skip
        record = replace(
            record, changes_at=loaded.changes_at, entries=loaded.entries,
            in_force=loaded.in_force, prefixes=loaded.prefixes, unsure=loaded.unsure,
            not_yet=loaded.not_yet, ended=loaded.ended,
            bad=tuple(loaded.bad.first), refused=tuple(loaded.refused.first),
            bad_count=loaded.bad.total, refused_count=loaded.refused.total,
            passed_over_count=loaded.passed_over.total, own_count=loaded.own,
            reasons=_reasons(loaded.refused, loaded.bad, loaded.passed_over),
        )  # fmt: skip
        record = self._asked_meanwhile(record)
        self._records[record.name] = record
        self._listed.add(record.name)
        return record

    def failed(self, work: Work, error: str, now: float, held: str = "") -> FeedRecord | None:
        """Keep the last good copy, note the error, and retry at growing intervals; ``held`` is the
        digest of what a person may accept."""
        record = self._finish(work)
        if record is None:
            return None
        failures = record.failures + 1
        wait = min(record.refresh, FIRST_RETRY * 2 ** min(failures - 1, 16))
        record = replace(
            record, tried_at=work.started, error=error, failures=failures, held=held,
            due_at=now + wait, changes_at=record.changes_at if work.fetch else None,
        )  # fmt: skip
        record = self._asked_meanwhile(record)
        self._records[record.name] = record
        return record

    def aged_out(self, now: float) -> tuple[FeedRecord, ...]:
        """Feeds in force whose copy has become too old; each is returned once."""
        old = [self._records[n] for n in self._listed if self._records[n].age(now) == "aged out"]
        self._listed.difference_update(record.name for record in old)
        return tuple(old)

    def records(self) -> tuple[FeedRecord, ...]:
        return tuple(self._records[name] for name in self._feeds)

    def has(self, name: str) -> bool:
        return name in self._feeds

    def mode(self, name: str) -> Mode:
        return self._feeds[name].mode

    def _asked_meanwhile(self, record: FeedRecord) -> FeedRecord:
        """Due at once where a person asked while it was busy, with whatever that was: a fetch
        had perhaps read the source already, and judging again does not read it at all."""
        if record.name not in self._asked:
            return record
        self._asked.discard(record.name)
        return replace(record, due_at=0.0)

    def _finish(self, work: Work) -> FeedRecord | None:
        self._busy.discard(work.feed.name)
        record = self._records.get(work.feed.name)
        return record if record is not None and record.source == work.record.source else None


def source_of(feed: Feed) -> str:
    """The identity of a source."""
    return hashlib.sha256(f"{feed.format}\0{feed.path}".encode()).hexdigest()[:32]


def is_remote(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def shown(path: str) -> str:
    """An address as it may be printed: no credentials, and no query, where tokens stand."""
    if not is_remote(path):
        return path
    try:
        parts = urlsplit(path)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{path.partition(':')[0]}://…"
    host = f"[{host}]" if ":" in host else host
    who = "…@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{who}{host}{port}{parts.path}" + ("?…" if parts.query else "")


def _reasons(*notes: Notes) -> tuple[tuple[str, int], ...]:
    """Every reason with how often it was found, most often first."""
    together = sum((each.counts for each in notes[1:]), notes[0].counts)
    return tuple(together.most_common(20))

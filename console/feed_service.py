"""Feeds in the running analysis: fetched and worked out beside it, put in force through it.

Every load is a forked child's work: it fetches, reads, judges and merges, and writes down the
last good bytes, while the analysis goes on looking at records. What comes back is only handed on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.background import Copy
from console.feed_fetcher import MAX_SECONDS, fetch
from policies.membership import Membership
from policies.model import Mode, Policy
from policies.prefixes import fewest
from response.feeds.admission import guard_of
from response.feeds.archive import FeedArchive
from response.feeds.entries import FeedError
from response.feeds.keeper import Answer, FeedRecord, Keeper, Work
from response.feeds.load import Listing, load
from response.feeds.outcome import Outcome, dumps, loads
from topology.records import Binding

AT_ONCE = 2  # children
DEADLINE = MAX_SECONDS + 60.0  # seconds for fetching and working out
JUDGE_AGAIN_AFTER = 5.0  # seconds: hosts come in crowds

Report = Callable[[float, dict[str, Any]], None]
"""Takes the time and what an audit entry of kind ``feed`` says."""


@dataclass(frozen=True, slots=True)
class Listed:
    """All that one feed lists now, in place of what it listed before."""

    feed: str
    mode: Mode
    listings: tuple[Listing, ...]


@dataclass(slots=True)
class _Running:
    work: Work
    child: Copy
    until: float


class FeedService:
    """Call `tick` a few times a second; it never waits."""

    def __init__(
        self,
        state: Path,
        policy: Policy,
        report: Report,
        handles: Callable[[], tuple[int, ...]] = tuple,
    ) -> None:
        """``handles`` are open sockets that a child must not hold."""
        self._archive = FeedArchive(state)
        self._policy = policy
        self._report = report
        self._handles = handles
        self._bindings: tuple[Binding, ...] = ()
        self._own: tuple[str, ...] = ()
        self._keeper = Keeper(policy.feeds, self._archive.records())
        self._running: list[_Running] = []
        self._judge_at: float | None = None
        self._to_withdraw: list[str] = []
        for record in self._keeper.records():
            self._archive.keep(record)

    def use_policy(self, policy: Policy) -> None:
        """Follow another policy; feeds that it no longer has are withdrawn at the next tick."""
        self._policy = policy
        gone = self._keeper.use(policy.feeds)
        self._to_withdraw += gone
        self._archive.forget(gone)
        for record in self._keeper.records():
            self._archive.keep(record)

    def use_bindings(self, bindings: tuple[Binding, ...], now: float) -> None:
        if bindings != self._bindings:
            self._bindings = bindings
            self._judge_again(now)

    def use_own_addresses(self, addresses: tuple[str, ...], now: float) -> None:
        """Of switches and of this machine: no feed may list them."""
        if addresses != self._own:
            self._own = addresses
            self._judge_again(now)

    def refresh(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Fetch feeds now (none named: all); the names that no feed has."""
        return self._keeper.refresh(names)

    def tick(self, now: float) -> list[Listed]:
        """Start what is due, take in what is done; what the controller must hear."""
        withdrawn, self._to_withdraw = self._to_withdraw, []
        listed = [Listed(name, Mode.OBSERVE, ()) for name in withdrawn]
        if self._judge_at is not None and now >= self._judge_at:
            self._judge_at = None
            self._keeper.again()
        for running in list(self._running):
            done, data = running.child.result()
            if not done and time.monotonic() > running.until:
                running.child.kill()
                done, data = True, dumps(Outcome("it took too long"))
            if done:
                self._running.remove(running)
                listed += self._take(running.work, data, now)
        for record in self._keeper.aged_out(now):
            listed.append(Listed(record.name, self._keeper.mode(record.name), ()))
            self._report(now, {"feed": record.name, "what": "aged out", "good_at": record.good_at})
        while len(self._running) < AT_ONCE and (work := self._keeper.due(now)) is not None:
            self._start(work, now)
        return listed

    def close(self) -> None:
        for running in self._running:
            running.child.kill()
        self._running = []

    def _judge_again(self, now: float) -> None:
        if self._judge_at is None:
            self._judge_at = now + JUDGE_AGAIN_AFTER

    def _start(self, work: Work, now: float) -> None:
        policy, bindings, own, archive = self._policy, self._bindings, self._own, self._archive

        def child() -> bytes:
            guard = guard_of(policy, Membership(policy, bindings), own)
            return dumps(carry_out(work, archive, lambda d: load(d, work.feed, guard, now, fewest)))

        running = Copy(child, self._handles())
        self._running.append(_Running(work, running, time.monotonic() + DEADLINE))

    def _take(self, work: Work, data: bytes | None, now: float) -> list[Listed]:
        try:
            if data is None:
                raise FeedError("reading it failed")
            answer, loaded = loads(data).result()
        except FeedError as problem:
            failed = self._keeper.failed(work, str(problem), now)
            if failed is not None:
                self._archive.keep(failed)
                if failed.error != work.record.error:
                    told = {"feed": failed.name, "what": "failed", "problem": failed.error}
                    self._report(now, told)
            return []
        record = self._keeper.done(work, answer, loaded, now)
        if record is None:
            return []
        self._archive.keep(record)
        if _differs(record, work.record):
            self._report(now, _told(record))
        return [Listed(record.name, self._keeper.mode(record.name), loaded.listings)]


def carry_out(work: Work, archive: FeedArchive, loading: Callable[[bytes], Any]) -> Outcome:
    """Fetch (where that is the work) and load one feed; new good bytes are kept."""
    record = work.record
    try:
        if not work.fetch:
            return Outcome(None, Answer(True), loading(archive.body(record.name)))
        kept = record.good_at is not None
        etag, modified = (record.etag, record.modified) if kept else (None, None)
        found = fetch(work.feed.path, etag, modified)
        if found.data is None:
            answer = Answer(True, found.etag, found.modified, record.digest)
            return Outcome(None, answer, loading(archive.body(record.name)))
        loaded = loading(found.data)
        archive.keep_body(record.name, found.data)
        digest = hashlib.sha256(found.data).hexdigest()
        return Outcome(None, Answer(False, found.etag, found.modified, digest), loaded)
    except FeedError as problem:
        return Outcome(str(problem))
    except OSError as problem:
        return Outcome(f"what was kept cannot be used: {problem.strerror}")


def _differs(new: FeedRecord, old: FeedRecord) -> bool:
    parts = ("digest", "in_force", "prefixes", "refused_count", "bad_count", "error", "mode")
    return any(getattr(new, part) != getattr(old, part) for part in parts)


def _told(record: FeedRecord) -> dict[str, Any]:
    reasons: Mapping[str, int] = dict(record.reasons)
    return {
        "feed": record.name, "what": "loaded", "from": record.shown, "mode": record.mode,
        "digest": record.digest, "entries": record.entries, "in_force": record.in_force,
        "prefixes": record.prefixes, "refused": record.refused_count, "bad": record.bad_count,
        "reasons": reasons,
    }  # fmt: skip

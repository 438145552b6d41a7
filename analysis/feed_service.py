"""Feeds of the running analysis. Every load is the work of a forked child: it fetches, reads,
checks and merges, and stores the last good copy, while the analysis continues to process records
and only passes the result on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.background_copy import BackgroundCopy, ChildLimits
from analysis.feed_fetcher import MAX_SECONDS, fetch
from analysis.local_addresses import local_addresses
from policies.feed_block import FeedBlock
from policies.model import Mode, Policy
from policies.semantics.membership import Membership
from response.audit.log import Audit
from response.feed_listing import ListFeed
from response.feeds.admission import guard_of
from response.feeds.archive import FeedArchive
from response.feeds.change import ChangesTooMuch, check_change
from response.feeds.entries import FeedError
from response.feeds.keeper import FeedRecord, Keeper, SourceReply, Work
from response.feeds.load import load
from response.feeds.outcome import FeedRefresh, dumps, loads
from response.ipc import messages as m
from response.state.interfaces import StateStore
from response.state.store import StoreError

AT_ONCE = 2  # children
MEMORY = 2 << 30  # bytes of one child, beyond what it shares with this process
CPU_SECONDS = 60
DEADLINE = MAX_SECONDS + 60.0  # seconds for fetching and working out
JUDGE_AGAIN_AFTER = 5.0  # seconds: hosts come in crowds

Say = Callable[[str], None]


@dataclass(slots=True)
class _Running:
    work: Work
    child: BackgroundCopy
    until: float


class FeedService:
    """Call `tick` a few times a second; it never waits."""

    def __init__(
        self,
        state: Path,
        policy: Policy,
        store: StateStore,
        audit: Audit,
        say: Say,
        handles: Callable[[], tuple[int, ...]] = tuple,
    ) -> None:
        """``say`` takes a line for the log; ``handles`` are open sockets that a child must not
        hold."""
        self._archive = FeedArchive(state)
        self._policy = policy
        self._store = store
        self._audit = audit
        self._say = say
        self._handles = handles
        self._bindings = store.bindings()
        self._own = local_addresses()
        listed = [block.feed for block in store.feed_blocks()]
        self._keeper = Keeper(policy.feeds, self._archive.records(), listed)
        self._running: list[_Running] = []
        self._judge_at: float | None = None
        self._to_withdraw = list(self._keeper.gone)
        self._archive.forget(n for n in self._archive.records() if not self._keeper.has(n))
        for record in self._keeper.records():
            self._keep(record)

    def use_policy(self, policy: Policy) -> None:
        """Follow another policy; feeds that it no longer has are withdrawn at the next tick."""
        self._policy = policy
        gone = self._keeper.use(policy.feeds)
        self._to_withdraw += gone
        self._archive.forget(gone)
        for record in self._keeper.records():
            self._keep(record)

    def hear(self, message: m.Message, now: float) -> None:
        """Update the addresses that must not be listed, which change with hosts and switches."""
        if isinstance(message, m.HostsChanged) and message.bindings != self._bindings:
            self._bindings = message.bindings
            self._judge_again(now)
        elif isinstance(message, m.OwnAddresses):
            own = tuple(sorted({*local_addresses(), *message.addresses}))
            if own != self._own:
                self._own = own
                self._judge_again(now)

    def ask(self, ask: m.Ask, now: float) -> m.Answer:
        """``refresh``: fetch one feed, or all, now; `septum feeds refresh` watches what comes.
        ``accept``: take the copy of a feed that is held because it changes too much.
        """
        if ask.what == "accept":
            return self._accept(ask, now)
        unknown = self._keeper.refresh((ask.decision,) if ask.decision else ())
        if unknown:
            return m.Answer(False, f"{unknown[0]}: the policy in force has no such feed")
        return m.Answer(True, "refreshing")

    def _accept(self, ask: m.Ask, now: float) -> m.Answer:
        name = ask.decision
        digest = self._keeper.accept(name)
        if not digest:
            return m.Answer(False, f"{name}: nothing of such a feed waits to be accepted")
        self._report(now, {"feed": name, "what": "accepted", "by": ask.by, "digest": digest})
        return m.Answer(True, f"{name}: accepted, {digest[:16]}")

    def tick(self, now: float) -> list[ListFeed]:
        """Start due loads and process finished ones; return messages for the controller."""
        withdrawn, self._to_withdraw = self._to_withdraw, []
        listed = [FeedBlock(name, Mode.OBSERVE, ()) for name in withdrawn]
        if self._judge_at is not None and now >= self._judge_at:
            self._judge_at = None
            self._keeper.again()
        for running in list(self._running):
            done, data = running.child.result()
            if not done and time.monotonic() > running.until:
                running.child.kill()
                done, data = True, dumps(FeedRefresh("it took too long"))
            if done:
                self._running.remove(running)
                listed += self._take(running.work, data, now)
        for record in self._keeper.aged_out(now):
            listed.append(FeedBlock(record.name, self._keeper.mode(record.name), ()))
            self._report(now, {"feed": record.name, "what": "aged out", "good_at": record.good_at})
            self._say(f"feed {record.name}: too old; nothing of it is in force")
        while len(self._running) < AT_ONCE and (work := self._keeper.due(now)) is not None:
            self._start(work, now)
        return [self._remembered(block) for block in listed]

    def close(self) -> None:
        for running in self._running:
            running.child.kill()
        self._running = []

    def _remembered(self, block: FeedBlock) -> ListFeed:
        """Store a listing before it is sent, so that a restarting controller has it."""
        message = ListFeed.of(block)
        try:
            self._store.save_feed_block(message)
        except StoreError as problem:
            self._say(f"feed {block.feed}: not stored for a restart: {problem}")
        return message

    def _keep(self, record: FeedRecord) -> None:
        try:
            self._archive.keep(record)
        except OSError as problem:
            self._say(f"feed {record.name}: not stored for a restart: {problem.strerror}")

    def _report(self, now: float, data: dict[str, Any]) -> None:
        try:
            self._audit.append(now, "feed", data)
        except StoreError as problem:
            self._say(f"feed {data['feed']}: {data['what']}, not in the audit: {problem}")

    def _judge_again(self, now: float) -> None:
        if self._judge_at is None:
            self._judge_at = now + JUDGE_AGAIN_AFTER

    def _start(self, work: Work, now: float) -> None:
        policy, bindings, own, archive = self._policy, self._bindings, self._own, self._archive

        def child() -> bytes:
            try:
                guard = guard_of(policy, Membership(policy, bindings), own)
                return dumps(carry_out(work, archive, lambda d: load(d, work.feed, guard, now)))
            except MemoryError:
                return dumps(FeedRefresh(f"it needs more than {MEMORY >> 30} GiB of memory"))

        limits = ChildLimits(MEMORY, CPU_SECONDS)
        try:
            running = BackgroundCopy(child, self._handles(), limits)
        except OSError as problem:
            self._take(work, dumps(FeedRefresh(f"cannot begin: {problem.strerror}")), now)
            return
        self._running.append(_Running(work, running, time.monotonic() + DEADLINE))

    def _take(self, work: Work, data: bytes | None, now: float) -> list[FeedBlock]:
        held = ""
        try:
            if data is None:
                raise FeedError(
                    f"reading it failed, or took more than {CPU_SECONDS} s of processor"
                )
            outcome = loads(data)
            held = outcome.held
            answer, loaded = outcome.result()
        except ValueError as problem:  # a `FeedError`, or bytes that are no outcome
            failed = self._keeper.failed(work, str(problem), now, held)
            if failed is not None:
                self._keep(failed)
                if failed.error != work.record.error:
                    told = {
                        "feed": failed.name,
                        "what": "held" if held else "failed",
                        "problem": failed.error,
                    }
                    self._report(now, told)
                    self._say(f"feed {failed.name}: {failed.error}; keeping the last good copy")
            return []
        record = self._keeper.done(work, answer, loaded, now)
        if record is None:
            return []
        self._keep(record)
        if _differs(record, work.record):
            self._report(now, _told(record))
            self._say(
                f"feed {record.name}: {record.in_force} entries in force as {record.prefixes} "
                f"prefixes, {record.refused_count} refused"
            )
        return [loaded.block(record.name, self._keeper.mode(record.name))]


def carry_out(work: Work, archive: FeedArchive, loading: Callable[[bytes], Any]) -> FeedRefresh:
    """Fetch (where that is the work) and load one feed; new good bytes are kept."""
    record = work.record
    try:
        if not work.fetch:
            return FeedRefresh(None, SourceReply(True), loading(archive.body(record.name)))
        kept = record.good_at is not None
        etag, modified = (record.etag, record.modified) if kept else (None, None)
        if work.accepted:
            return _accepted(work, archive, loading)
        found = fetch(work.feed.path, etag, modified)
        if found.data is None:
            answer = SourceReply(True, found.etag, found.modified, record.digest)
            return FeedRefresh(None, answer, loading(archive.body(record.name)))
        loaded = loading(found.data)
        if kept:
            _check_change(work, archive, found.data)
        archive.keep_body(record.name, found.data)
        digest = hashlib.sha256(found.data).hexdigest()
        return FeedRefresh(None, SourceReply(False, found.etag, found.modified, digest), loaded)
    except ChangesTooMuch as problem:
        return FeedRefresh(str(problem), held=hashlib.sha256(found.data or b"").hexdigest())
    except FeedError as problem:
        return FeedRefresh(str(problem))
    except OSError as problem:
        return FeedRefresh(f"what was kept cannot be used: {problem.strerror}")


def _check_change(work: Work, archive: FeedArchive, data: bytes) -> None:
    """Hold what changes too much. Raises `ChangesTooMuch`."""
    try:
        before = archive.body(work.record.name)
    except OSError:
        return  # nothing to compare with: as a first load
    try:
        check_change(before, data, work.feed)
    except ChangesTooMuch:
        archive.hold(work.record.name, data)
        raise


def _accepted(work: Work, archive: FeedArchive, loading: Callable[[bytes], Any]) -> FeedRefresh:
    """Load what a person has accepted, and nothing else."""
    data = archive.held(work.record.name)
    digest = hashlib.sha256(data).hexdigest()
    if digest != work.accepted:
        raise FeedError("another copy is held than the one that was accepted")
    loaded = loading(data)
    archive.keep_body(work.record.name, data)
    return FeedRefresh(None, SourceReply(False, digest=digest), loaded)


def _differs(new: FeedRecord, old: FeedRecord) -> bool:
    parts = ("digest", "in_force", "prefixes", "refused_count", "bad_count", "error", "mode")
    return any(getattr(new, part) != getattr(old, part) for part in parts)


def _told(record: FeedRecord) -> dict[str, Any]:
    reasons: Mapping[str, int] = dict(record.reasons)
    return {
        "feed": record.name, "what": "loaded", "from": record.shown, "mode": record.mode,
        "digest": record.digest, "entries": record.entries, "in_force": record.in_force,
        "prefixes": record.prefixes, "refused": record.refused_count, "own": record.own_count,
        "bad": record.bad_count, "reasons": reasons,
    }  # fmt: skip

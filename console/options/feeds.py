"""What the local feeds of a policy list, for commands that judge without a controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

from policies.language.errors import Diagnostic, printable
from policies.model import Feed, Mode, Policy
from policies.semantics.feed_listings import NOTHING_LISTED, Listings
from policies.semantics.membership import Membership
from response.feeds.admission import guard_of
from response.feeds.entries import FeedError
from response.feeds.keeper import is_remote, shown
from response.feeds.load import load
from response.feeds.read import read_feed


def local_listings(policy: Policy, membership: Membership, now: float) -> Listings:
    """What the feeds that are files list at ``now``; reports on standard error which are left out.

    A feed on a server is not fetched: the answer would depend on the network, and on when it is
    asked for.
    """
    wanted = [feed for feed in policy.feeds if feed.mode is not Mode.OBSERVE]
    if not wanted:
        return NOTHING_LISTED
    guard = guard_of(policy, membership, ())
    blocks = []
    for feed in wanted:
        if is_remote(feed.path):
            _report(feed, f"it comes from a server ({shown(feed.path)})")
            continue
        try:
            blocks.append(load(_content(feed), feed, guard, now).block(feed.name, feed.mode))
        except FeedError as problem:
            _report(feed, f"{feed.path}: {problem}")
    return Listings(blocks)


def feed_problems(policy: Policy) -> Iterator[Diagnostic]:
    """Warnings about feeds whose file is not there or cannot be read, or that anybody may alter."""
    for feed in policy.feeds:
        if feed.path.startswith("http:") and feed.mode is Mode.ENFORCE:
            message = (
                f"feed '{feed.name}' is enforced, but {shown(feed.path)} is not encrypted: whoever "
                "is on the way decides what is blocked"
            )
            yield Diagnostic("warning", "feed", message, feed.source)
        if is_remote(feed.path):
            continue
        try:
            read_feed(_content(feed), feed.format)
        except FeedError as problem:
            message = f"feed '{feed.name}': {feed.path}: {problem}"
            yield Diagnostic("warning", "feed", message, feed.source)


def _content(feed: Feed) -> bytes:
    """The bytes of a feed's file. Raises `FeedError`."""
    try:
        return Path(feed.path).read_bytes()
    except (OSError, ValueError) as problem:
        raise FeedError(getattr(problem, "strerror", None) or str(problem)) from None


def _report(feed: Feed, why: str) -> None:
    typer.echo(printable(f"feed '{feed.name}' is not looked at: {why}"), err=True)

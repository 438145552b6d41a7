"""What a feed's source can do to the analysis: memory, time, and how much it may list or change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import feed_service
from analysis.feed_service import FeedService
from policies.model import Feed, Host, Mode, Policy
from response.audit.log import Audit
from response.feed_listing import ListFeed
from response.ipc import messages as m
from response.state.store import Store

pytestmark = pytest.mark.threat("feed-limits")


class FileFeed:
    """A feed service that reads one file."""

    def __init__(self, directory: Path, **more: Any) -> None:
        self.file = directory / "drop.txt"
        feed = Feed("drop", str(self.file), "cidr-list", Mode.ENFORCE, refresh=60, **more)
        (directory / "state").mkdir()
        self.store = Store.open(directory / "state", 0.0)
        policy = Policy("p", hosts=(Host("gw"),), feeds=(feed,))
        self.said: list[str] = []
        self.service = FeedService(
            directory / "state", policy, self.store, Audit(self.store), self.said.append
        )
        self.now = 0.0

    def read(self, *lines: str) -> str:
        """The newest audited event of the feed after it has been read with these lines."""
        self.file.write_text("\n".join(lines) + "\n")
        self.now += 3600.0
        return self.turn()

    def turn(self) -> str:
        before, end = len(self.audited()), time.monotonic() + 10
        heard: list[ListFeed] = []
        while len(self.audited()) == before:
            assert time.monotonic() < end, self.said
            heard += self.service.tick(self.now)
            time.sleep(0.01)
        return str(self.audited()[-1]["what"])

    def audited(self) -> list[dict[str, Any]]:
        return [entry.values() for entry in Audit(self.store).entries(kind="feed")]

    @property
    def listed(self) -> int:
        return sum(len(block.block.prefixes) for block in self.store.feed_blocks())


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[FileFeed]:
    made = FileFeed(tmp_path)
    yield made
    made.service.close()


def addresses(first: int, count: int) -> list[str]:
    """Every other address, so that none can be merged."""
    return [
        f"198.{n >> 15 & 127}.{n >> 7 & 255}.{n << 1 & 255}" for n in range(first, first + count)
    ]


def exhausted_memory(*_: object) -> bytes:
    return bytes(16 << 30)


def exhausted_time(*_: object) -> bytes:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        pass
    return b""


def test_a_feed_that_needs_too_much_memory_fails_alone(
    feed: FileFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_service, "load", exhausted_memory)
    assert feed.read("203.0.113.5") == "failed"
    assert "memory" in feed.audited()[-1]["problem"]


def test_a_feed_that_computes_without_end_is_ended(
    feed: FileFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_service, "load", exhausted_time)
    monkeypatch.setattr(feed_service, "CPU_SECONDS", 1, raising=False)
    assert feed.read("203.0.113.5") == "failed"


def test_a_large_feed_that_changes_too_much_waits_for_a_person(feed: FileFeed) -> None:
    assert feed.read(*addresses(0, 1_200)) == "loaded", "the first load may be anything"
    assert feed.read(*addresses(0, 1_500)) == "loaded"
    assert feed.read(*addresses(9_000, 1_500)) == "held"
    assert feed.listed == 1_500
    assert "changes by 100 %" in feed.audited()[-1]["problem"]
    feed.file.unlink()  # what is accepted is what was held, not what is there now
    assert feed.service.ask(m.Ask("accept", "drop", "ana"), feed.now).ok
    assert feed.turn() == "loaded"
    accepted = [each for each in feed.audited() if each["what"] == "accepted"]
    assert [each["by"] for each in accepted] == ["ana"]
    assert not feed.service.ask(m.Ask("accept", "drop", "ana"), feed.now).ok, (
        "nothing is held any more"
    )


def test_private_entries_are_left_out_and_many_of_them_refuse_the_feed(feed: FileFeed) -> None:
    assert feed.read("203.0.113.5", "203.0.113.9", "10.9.9.9") == "loaded"
    assert (feed.listed, feed.audited()[-1].get("own")) == (2, 1)
    assert feed.read("203.0.113.5", "192.168.7.7", "10.9.9.9") == "failed"
    assert feed.listed == 2


def test_a_feed_that_covers_too_much_is_refused(feed: FileFeed) -> None:
    assert feed.read("50.0.0.0/9", "203.0.113.9") == "loaded"
    assert feed.read("50.0.0.0/9", "60.0.0.0/9", "70.0.0.0/9", "203.0.113.9") == "failed"
    assert "max_share" in feed.audited()[-1]["problem"]
    assert feed.read("2400::/16", "203.0.113.9") == "loaded", "each family has its own share"

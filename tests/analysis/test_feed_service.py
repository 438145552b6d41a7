"""Feeds from their sources into a store, without switches."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from analysis import feed_fetcher
from analysis.feed_fetcher import fetch
from analysis.feed_service import FeedService
from console.cli import run
from policies.model import Feed, Host, Mode, Policy
from policies.semantics.prefix_sets import Span, network_of
from response.audit.log import Audit
from response.feed_listing import ListFeed
from response.feeds.entries import FeedError
from response.ipc import messages as m
from response.state.store import Store


@dataclass
class FeedServer:
    """A feed server on the loopback address: says ``body`` under its ``etag``."""

    body: bytes = b"203.0.113.5\n"
    etag: str = '"1"'
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    chunk_every: float = 0.0
    url: str = ""


@pytest.fixture
def source() -> Iterator[FeedServer]:
    found = FeedServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(dict(self.headers))
            if found.status == 200 and self.headers.get("If-None-Match") == found.etag:
                self.send_response(304)
                self.end_headers()
                return
            self.send_response(found.status)
            self.send_header("ETag", found.etag)
            for name, value in found.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in found.headers:
                self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            try:
                for byte in range(0, len(found.body), 1000):
                    self.wfile.write(found.body[byte : byte + 1000])
                    time.sleep(found.chunk_every)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/drop.txt"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_source_that_has_not_changed_is_not_sent_again(source: FeedServer) -> None:
    first = fetch(source.url)
    assert (first.data, first.etag) == (b"203.0.113.5\n", '"1"')
    second = fetch(source.url, first.etag, "Mon, 02 Nov 2026 10:00:00 GMT")
    assert (second.data, second.etag) == (None, '"1"')
    assert source.asked[1]["If-Modified-Since"] == "Mon, 02 Nov 2026 10:00:00 GMT"


def test_what_is_packed_is_unpacked_within_the_limit(
    source: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.headers = {"Content-Encoding": "gzip"}
    source.body = gzip.compress(b"203.0.113.5\n" * 1000)
    assert fetch(source.url).data == b"203.0.113.5\n" * 1000
    monkeypatch.setattr(feed_fetcher, "MAX_BYTES", 10_000)
    with pytest.raises(FeedError, match="larger"):
        fetch(source.url)
    source.body = source.body[:-5]
    monkeypatch.setattr(feed_fetcher, "MAX_BYTES", 1 << 20)
    with pytest.raises(FeedError, match="cut off"):
        fetch(source.url)


def test_a_source_that_trickles_is_given_up(
    source: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_fetcher, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(feed_fetcher, "CHUNK", 1000)
    source.body, source.chunk_every = b"203.0.113.5\n" * 1000, 0.05
    with pytest.raises(FeedError, match="not done after"):
        fetch(source.url)


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (404, {}, "the server says 404"),
        (401, {}, "the server says 401"),
        (200, {"Content-Length": "5000"}, "cut off"),
        (200, {"Content-Encoding": "br"}, "was not asked for"),
        (302, {"Location": "file:///etc/passwd"}, "not encrypted|302"),
    ],
)
def test_what_a_server_may_do_wrong(
    source: FeedServer, status: int, headers: dict[str, str], says: str
) -> None:
    source.status, source.headers = status, headers
    with pytest.raises(FeedError, match=says) as problem:
        fetch(source.url + "?token=secret")
    assert "secret" not in str(problem.value)


@pytest.mark.threat("feed-limits")
def test_a_byte_now_and_then_does_not_put_off_the_end(
    source: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chunk is ever whole: the clock is looked at whenever something has come."""
    monkeypatch.setattr(feed_fetcher, "MAX_SECONDS", 0.3)
    source.body, source.chunk_every = b"203.0.113.5\n" * 5_000, 0.1
    began = time.monotonic()
    with pytest.raises(FeedError, match="not done after"):
        fetch(source.url)
    assert time.monotonic() - began < 3.0


@pytest.mark.threat("feed-limits")
def test_a_bomb_is_unpacked_no_further_than_the_limit(source: FeedServer) -> None:
    """A gigabyte of zeros in a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 24)
    source.body = b"".join(packer.compress(block) for _ in range(64)) + packer.flush()
    source.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(FeedError, match="larger than 128 MiB"):
        fetch(source.url)


@pytest.mark.threat("feed-limits")
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_encryption_does_not_end_by_a_redirect(target: str) -> None:
    request = urllib.request.Request("https://127.0.0.1/drop.txt")
    with pytest.raises(FeedError, match="not encrypted"):
        feed_fetcher.Redirects().redirect_request(
            request, io.BytesIO(), 302, "Found", Message(), target
        )


@pytest.mark.threat("feed-limits")
def test_redirects_have_an_end(source: FeedServer) -> None:
    source.status, source.headers = 302, {"Location": source.url}
    with pytest.raises(FeedError, match="cannot be fetched|302"):
        fetch(source.url)
    assert len(source.asked) <= feed_fetcher.MAX_REDIRECTS + 1


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(FeedError, match="credentials") as problem:
        fetch("http://user:secret@127.0.0.1:9/x")
    assert "secret" not in str(problem.value)
    with pytest.raises(FeedError, match="cannot be fetched"):
        fetch("http://127.0.0.1:9/x")


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "drop.txt"
    path.write_text("203.0.113.5\n")
    first = fetch(str(path))
    assert fetch(str(path), first.etag).data is None
    path.write_text("203.0.113.6\n203.0.113.7\n")
    assert fetch(str(path), first.etag).data is not None
    with pytest.raises(FeedError, match="No such file"):
        fetch(str(tmp_path / "none"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FeedError, match="not a file"):
        fetch(str(tmp_path / "fifo"))
    with pytest.raises(FeedError):
        fetch(str(tmp_path))
    monkeypatch.setattr(feed_fetcher, "MAX_BYTES", 10)
    with pytest.raises(FeedError, match="larger"):
        fetch(str(path))


class RunningFeeds:
    """A feed service over a state directory, with a clock of its own."""

    def __init__(self, state: Path, *feeds: Feed) -> None:
        self.state = state
        self.policy = Policy("p", hosts=(Host("gw"),), feeds=feeds)
        self.store = Store.open(state, 0.0)
        self.said: list[str] = []
        self.open()

    def open(self) -> None:
        audit = Audit(self.store)
        self.service = FeedService(self.state, self.policy, self.store, audit, self.said.append)

    def until(
        self, now: float, done: Callable[[list[ListFeed]], bool], step: float = 0.0
    ) -> list[ListFeed]:
        """Tick, ``step`` seconds apart, until what was heard will do."""
        heard: list[ListFeed] = []
        end = time.monotonic() + 20
        while not done(heard):
            assert time.monotonic() < end, (heard, self.said)
            heard += self.service.tick(now)
            now += step
            time.sleep(0.01)
        return heard

    def listed(self, now: float) -> list[str]:
        """The next feed that the controller hears of, as prefixes."""
        (heard,) = self.until(now, bool)
        return [str(network_of(Span(*prefix))) for prefix in heard.block.prefixes]

    def audited(self) -> list[str]:
        return [e.values()["what"] for e in Audit(self.store).entries(kind="feed")]


@pytest.mark.thorough
def test_a_feed_from_source_to_controller_and_over_a_restart(
    source: FeedServer, tmp_path: Path
) -> None:
    feed = Feed("drop", source.url, "cidr-list", Mode.ENFORCE, refresh=60)
    running = RunningFeeds(tmp_path, feed)
    source.body = b"203.0.113.4\n203.0.113.5\n127.0.0.1\n"
    assert running.listed(1000.0) == ["203.0.113.4/31"]
    (block,) = running.store.feed_blocks()
    assert (block.feed, block.mode) == ("drop", Mode.ENFORCE)
    assert running.audited() == ["loaded"]
    # The same again changes nothing, and is not written down again.
    assert running.listed(1060.0) == ["203.0.113.4/31"]
    assert len(source.asked) == 2
    # It fails: what it said stays, also over a restart, and the failure is told.
    source.status = 500
    running.until(1120.0, lambda _: "failed" in running.audited())
    assert "the server says 500; keeping the last good copy" in running.said[-1]
    running.service.close()
    running.open()
    assert running.listed(1130.0) == ["203.0.113.4/31"]
    assert len(source.asked) == 3, "nobody was asked"
    # Too old: nothing of it stays in force, and it is said.
    assert running.listed(1060.0 + 86_400.0) == []
    assert "too old" in running.said[-1]
    assert running.store.feed_blocks() == ()
    # It is back, and lists something else.
    source.status, source.body, source.etag = 200, b"203.0.113.9\n", '"2"'
    now = 1060.0 + 2 * 86_400.0
    running.until(now, lambda heard: any(each.block.prefixes for each in heard), step=1.0)
    assert running.audited() == ["loaded", "failed", "aged out", "loaded"]
    running.service.use_policy(Policy("q"))
    assert running.listed(now) == []
    running.service.close()


@pytest.mark.thorough
def test_a_login_page_or_a_host_of_ours_changes_nothing(source: FeedServer, tmp_path: Path) -> None:
    running = RunningFeeds(tmp_path, Feed("drop", source.url, "cidr-list", refresh=60))
    assert running.listed(0.0) == ["203.0.113.5/32"]
    source.body, source.etag = b"<html>\n<body>\nlog in\n", '"2"'
    running.until(60.0, lambda _: "failed" in running.audited())
    assert [block.block.prefixes for block in running.store.feed_blocks()]
    # A switch connects from a listed address: the entry is refused from then on.
    running.service.hear(m.OwnAddresses(("203.0.113.5",)), 61.0)
    assert running.listed(70.0) == []
    running.service.close()


@pytest.mark.thorough
def test_the_commands_show_it(
    source: FeedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = source.url + "?token=secret"
    running = RunningFeeds(tmp_path, Feed("drop", url, "cidr-list", refresh=60))
    source.body = b"203.0.113.5\n127.0.0.1\nnonsense\n8.8.8.8\n"
    running.until(time.time(), bool)
    running.service.close()
    assert run(["feeds", "list", "--state", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "drop" in said and "fresh" in said and "secret" not in said
    assert run(["feeds", "list", "drop", "--state", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "refused 2: 127.0.0.1/32: loopback" in said
    assert "unread 3: nonsense: no address" in said
    assert run(["feeds", "list", "--json", "--state", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    (row,) = json.loads(said)
    assert (row["state"], row["in_force"], row["refused_count"], row["bad_count"]) == (
        "fresh", 2, 1, 1,
    )  # fmt: skip
    assert "secret" not in said
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"token=secret" not in path.read_bytes()
    assert run(["feeds", "list", "other", "--state", str(tmp_path)]) == 2
    assert run(["feeds", "refresh", "--state", str(tmp_path)]) == 2
    assert "no controller runs" in capsys.readouterr().err

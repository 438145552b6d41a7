"""Fetching of feeds: from a file, or over HTTP(S), within limits of size and time."""

from __future__ import annotations

import os
import stat
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse
from typing import IO, Any
from urllib.parse import urlsplit

from response.feeds.entries import FeedError
from response.feeds.keeper import is_remote

MAX_BYTES = 128 * 1024 * 1024
"""A hundred thousand STIX indicators, each of a kilobyte."""

MAX_SECONDS = 60.0  # for one feed in all
QUIET_SECONDS = 15.0  # without a byte
MAX_REDIRECTS = 5
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Fetched:
    """``data`` is None if the source has not changed."""

    data: bytes | None
    etag: str | None = None
    modified: str | None = None


def fetch(path: str, etag: str | None = None, modified: str | None = None) -> Fetched:
    """The bytes behind a feed's path. Raises `FeedError` with one line that holds no secret."""
    return _over_http(path, etag, modified) if is_remote(path) else _from_file(path, etag)


def _from_file(path: str, etag: str | None) -> Fetched:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FeedError("not a file")
            tag = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
            if tag == etag:
                return Fetched(None, tag)
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise FeedError(f"cannot be read: {problem.strerror}") from None
    if len(data) > MAX_BYTES:
        raise FeedError(f"larger than {MAX_BYTES >> 20} MiB")
    return Fetched(data, tag)


class Redirects(urllib.request.HTTPRedirectHandler):
    """A few redirects, to HTTP or HTTPS, never from HTTPS to HTTP."""

    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        if not is_remote(newurl) or (req.type == "https" and not newurl.startswith("https:")):
            raise FeedError("redirected to where it is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _over_http(path: str, etag: str | None, modified: str | None) -> Fetched:
    try:
        where = urlsplit(path).netloc
    except ValueError:
        raise FeedError("not an address") from None
    if "@" in where:
        raise FeedError("credentials in a feed's address are not accepted")
    request = urllib.request.Request(path)
    request.add_header("User-Agent", "septum")
    request.add_header("Accept-Encoding", "gzip")
    if etag is not None:
        request.add_header("If-None-Match", etag)
    if modified is not None:
        request.add_header("If-Modified-Since", modified)
    opener = urllib.request.build_opener(Redirects)
    until = time.monotonic() + MAX_SECONDS
    try:
        with opener.open(request, timeout=QUIET_SECONDS) as response:
            headers: Message = response.headers
            wanted = headers.get("Content-Length", "")
            size = int(wanted) if wanted.isdecimal() and len(wanted) < 20 else None
            data = _read(response, headers.get("Content-Encoding", ""), size, until)
    except urllib.error.HTTPError as problem:
        if problem.code == 304:
            return Fetched(None, etag, modified)
        raise FeedError(f"the server says {problem.code}") from None
    except urllib.error.URLError as problem:
        reason = problem.reason
        text = getattr(reason, "strerror", None) or type(reason).__name__
        if isinstance(reason, FeedError):
            text = str(reason)
        raise FeedError(f"cannot be fetched: {text}") from None
    except FeedError:
        raise
    except (OSError, ValueError, zlib.error) as problem:
        what = getattr(problem, "strerror", None) or type(problem).__name__
        raise FeedError(f"cannot be fetched: {what}") from None
    except Exception as problem:  # http.client has errors of its own
        raise FeedError(f"cannot be fetched: {type(problem).__name__}") from None
    return Fetched(data, headers.get("ETag"), headers.get("Last-Modified"))


def _read(response: HTTPResponse, encoding: str, size: int | None, until: float) -> bytes:
    """The whole response body, decompressed, within the limits; ``size`` are the bytes that are to
    come, where that is known."""
    if encoding.lower() not in ("", "identity", "gzip", "x-gzip"):
        raise FeedError(f"sent as {encoding[:20]}, which was not asked for")
    unpack = zlib.decompressobj(31) if encoding.lower().endswith("gzip") else None
    data = bytearray()
    came = 0
    # What has come, not a whole chunk: a byte every few seconds must not put off the clock.
    while came != size and (chunk := response.read1(CHUNK)):
        came += len(chunk)
        data += chunk if unpack is None else unpack.decompress(chunk, MAX_BYTES + 1 - len(data))
        if len(data) > MAX_BYTES:
            raise FeedError(f"larger than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > until:
            raise FeedError(f"not done after {MAX_SECONDS:g} s")
    if came < (size or 0) or unpack is not None and not unpack.eof:
        raise FeedError("the answer was cut off")
    return bytes(data)

"""A disk without room, as one process sees it: no file may grow beyond a few bytes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = 4096
"""Bytes: less than the first frame of a write-ahead log, more than a line of output."""


@contextmanager
def full_disk() -> Iterator[None]:
    """Writes fail with EFBIG (Python ignores SIGXFSZ) until the block ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

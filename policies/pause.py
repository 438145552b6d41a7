"""No looking for garbage while nothing but things that stay are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Rules and hosts are made by the ten thousand and all stay: looking for garbage among them
    would take as long as making them, meanwhile and right afterwards.

    What was made counts as old when the block ends, so that only a full collection looks at it.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            frozen = gc.get_freeze_count() > 0
            gc.freeze()
            if not frozen:  # else a process wants what it has left alone, and keeps it so
                gc.unfreeze()
            gc.enable()

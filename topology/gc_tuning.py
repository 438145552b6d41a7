"""Tuning of Python's cyclic garbage collector.

Rules, hosts, records and edges by the hundred thousand are objects that the
collector walks again and again although none of them is part of a cycle: with
Python's own thresholds a fifth to a third of the time that a record takes goes
there, and a full walk holds everything up for tenths of a second.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 20_000  # objects more than before until the youngest are looked at
YOUNGER, OLDER = 20, 50  # looks at each generation until the next older one is looked at too

_rarely = False  # gc.get_freeze_count() would count them one by one


def collect_rarely() -> None:
    """Exempt all present objects from collection and collect later ones less often. Call once in a
    process of Septum's own, when all permanent data is loaded."""
    global _rarely
    _rarely = True
    gc.freeze()
    gc.set_threshold(YOUNG, YOUNGER, OLDER)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause collection in the block. Rules and hosts are made by the ten thousand and all stay:
    searching them for garbage would take as long as making them. They count as old when the block
    ends, so that only a full collection visits them, and none after `collect_rarely`.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.freeze()
            if not _rarely:
                gc.unfreeze()
            gc.enable()

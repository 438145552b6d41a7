"""When a process that keeps a great many records looks for cyclic garbage.

Records, edges and hosts by the hundred thousand are objects that the collector
walks again and again, although none of them is part of a cycle: with Python's
own thresholds a fifth to a third of the time that a record takes goes there,
and a full walk holds everything up for tenths of a second.
"""

from __future__ import annotations

import gc

YOUNG = 20_000  # objects more than before until the youngest are looked at
YOUNGER, OLDER = 20, 50  # looks at each generation until the next older one is looked at too


def collect_rarely() -> None:
    """Call once, when all that stays for good is loaded: it is not looked at any more."""
    gc.freeze()
    gc.set_threshold(YOUNG, YOUNGER, OLDER)

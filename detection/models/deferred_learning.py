"""What was suspicious but never alerted on waits before it is taken for normal.

A connection that a host makes while it is above the calm mark is not learned. If no alert
comes of it within :data:`WAIT` and the host is calm again, it was somebody's new routine (a nightly
run seen for the first time, say), and its peers are known from then on. An alert, a
quarantine or a release in the meantime drops it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from detection.state.hosts import Held, HostState

WAIT = 8 * 3600.0  # seconds: shorter than a day, so that a nightly run is known the next night
MOST = 128  # connections held for one host, oldest out first


def hold(host: HostState, dst: str, service: str, now: float) -> None:
    if host.held is None:
        host.held = deque(maxlen=MOST)
    host.held.append(Held(now, dst, service))


def due(host: HostState, now: float) -> Iterator[Held]:
    """Those whose time is over, taken off the list."""
    held = host.held
    while held and now - held[0].ts >= WAIT:
        yield held.popleft()
    if not held:
        host.held = None

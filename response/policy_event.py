"""What was done with a version of the policy, as the versions keep it and the audit receives it."""

from __future__ import annotations

from msgspec import Struct

from response.asker import Peer


class PolicyEvent(Struct, frozen=True):
    """``number`` counts from 1 in a state directory; ``what`` is ``started with``, ``staged``,
    ``applied``, ``confirmed``, ``rolled back`` or ``reverted``; ``peer`` is None for what the
    controller did by itself."""

    number: int
    ts: float
    what: str
    version: int
    by: str
    note: str = ""
    peer: Peer | None = None

"""The hold on all automatic action: stored, so that it applies to every process and survives
restarts."""

from __future__ import annotations

from response.audit.log import Audit
from response.ipc.messages import Answer
from response.state.interfaces import StateStore

HOLD = "hold"
"""Under which name the store keeps who put automatic action on hold."""


def set_hold(store: StateStore, audit: Audit, on: bool, by: str, now: float) -> Answer:
    """Stop all automatic action (it is proposed instead), or resume it; idempotent."""
    with store.transaction():
        if on == (store.meta(HOLD) is not None):
            how_it_is = "on hold already" if on else "not on hold"
            return Answer(True, f"automatic action is {how_it_is}")
        store.set_meta(HOLD, by if on else None)
        audit.append(now, "hold", {"on": on, "by": by})
    return Answer(True, f"automatic action {'is on hold' if on else 'goes on'}")

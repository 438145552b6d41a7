"""Checkpoints of the audit: made when due, and sent where they are to be kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from analysis.checkpoints.sending import CheckpointSender
from analysis.composition import Composed
from response.state.interfaces import CHECKPOINTS_SENT
from response.state.store import StoreError


class Sealing:
    def __init__(
        self, composed: Composed, checkpoint_to: Sequence[str], log: Callable[[str], None]
    ) -> None:
        """``checkpoint_to`` are targets for `analysis.checkpoints.targets.read_target`."""
        self._analysis, self._audit, self._store = composed.analysis, composed.audit, composed.store
        self._sender = CheckpointSender(checkpoint_to, self._note, log)

    def tick(self, now: float, ending: bool = False) -> None:
        """Write a checkpoint when due; a failed one is retried when there is room again."""
        self._sender.tick()
        if self._analysis.storage.problem is not None:
            return
        try:
            made = self._audit.seal(now, ending)
        except (StoreError, OSError) as problem:
            self._analysis.not_stored("checkpoints", problem, now)
            return
        if made is not None:
            self._sender.send(made)

    def close(self, now: float) -> None:
        """Make the last checkpoint, and wait a little until it is sent."""
        self.tick(now, ending=True)
        self._sender.close()

    def _note(self, counts: dict[str, dict[str, object]]) -> None:
        """For `septum status`. Only the counts are old while the store takes nothing."""
        try:
            self._store.set_meta(CHECKPOINTS_SENT, json.dumps(counts) if counts else None)
        except StoreError:
            return

"""Schedule of model snapshots, from which a restart resumes."""

from __future__ import annotations

from response.state.interfaces import StateStore, SuspectDetector
from response.state.model_versions import NEWEST, ModelVersions

EVERY = 300.0  # seconds


class ModelSnapshots:
    """Snapshots of ``detector``; with ``models``, in all the rows of versions that those keep."""

    def __init__(
        self, detector: SuspectDetector, store: StateStore, models: ModelVersions | None, now: float
    ) -> None:
        self._detector = detector
        self._store = store
        self._models = models
        self._due = now + EVERY
        self._changes = 0  # of the model, when the snapshot that comes was begun

    def due(self, now: float) -> bool:
        """True once each `EVERY` seconds: then `take` one and `keep` it."""
        due = now >= self._due
        if due:
            self._due = now + EVERY
            self._changes = self._model_changes()
        return due

    def take(self) -> bytes:
        """Serialize the model. With many hosts this takes seconds; see
        `analysis.background_copy`."""
        return self._detector.snapshot()

    def keep(self, data: bytes, now: float) -> None:
        """Store a snapshot; drop it if the model was replaced while it was being written."""
        if self._models is None:
            self._store.save_snapshot(now, NEWEST, data)
        elif self._models.changes == self._changes:
            self._models.keep(data, now)

    def finish(self, now: float) -> None:
        """Take and store the final snapshot."""
        self._changes = self._model_changes()
        self.keep(self.take(), now)

    def _model_changes(self) -> int:
        return 0 if self._models is None else self._models.changes

"""Versions of the learned model: rollback, comparison, and approval by people.

Snapshots of the detector are kept in five rows of versions: the last few minutes, hours and
days, those that a person asked for, and those from just before a change of model. Each is named
``m`` and its number in the store. Every change of model is an entry of the audit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from detection.models.champion import Champion
from response.audit.log import Audit
from response.state.interfaces import StateStore

NEWEST = "detector"  # a restart goes on from the last of these
HOURLY, DAILY = "detector/hourly", "detector/daily"
KEPT = "detector/kept"  # asked for by a person
BEFORE = "detector/before"  # taken when the model was changed
ROWS = (NEWEST, HOURLY, DAILY, KEPT, BEFORE)
EVERY = {HOURLY: 3600.0, DAILY: 86_400.0}  # seconds


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What became of a request, in one line, or JSON where data was asked for."""

    ok: bool
    text: str


class ModelVersions:
    """Keep, compare and change models. ``by`` is who asks, ``note`` their reason."""

    def __init__(
        self,
        store: StateStore,
        audit: Audit,
        champion: Champion,
        not_restored: str | None = None,
    ) -> None:
        """``not_restored`` is what was learned before and could not be used at the start."""
        self._store = store
        self._audit = audit
        self._champion = champion
        self._not_restored = not_restored
        self.changes = 0  # times that another model took over

    def keep(self, data: bytes, now: float) -> None:
        """Keep what was learned: for a restart, and now and then for longer."""
        self._store.save_snapshot(now, NEWEST, data)
        for row, seconds in EVERY.items():
            last = self._store.latest_snapshot(row)
            if last is None or now - last[0] >= seconds:
                self._store.save_snapshot(now, row, data)

    def health(self) -> dict[str, object]:
        """`detection.health.DetectorHealth`, with ``challenger``, the report on one or None, and
        ``not_restored``, what the start could not use or None."""
        shadow = self._champion.shadow
        report = None if shadow is None else asdict(shadow.report())
        found = asdict(self._champion.health())
        return {**found, "challenger": report, "not_restored": self._not_restored}

    def snapshot(self, by: str, now: float, note: str = "") -> ModelAnswer:
        name = self._keep_as(KEPT, now)
        self._note(by, note, now, "snapshot", snapshot=name)
        return ModelAnswer(True, f"{name}: what is learned now is kept")

    def roll_back(self, name: str, by: str, now: float, note: str = "") -> ModelAnswer:
        found = self._store.snapshot(number_of(name))
        if found is None or found[1] not in ROWS:
            return ModelAnswer(False, f"{name}: no such snapshot; `septum models list` has them")
        taken, _, data = found
        with self._store.transaction():
            before = self._keep_as(BEFORE, now)
            try:
                self._champion.roll_back(data)
            except ValueError as problem:
                return ModelAnswer(False, f"{name}: {problem}")
            self.changes += 1
            self._store.save_snapshot(now, NEWEST, data)
            self._note(by, note, now, "rollback", snapshot=name, taken=taken, before=before)
        return ModelAnswer(True, f"goes on from {name}; {before} leads back")

    def challenge(
        self,
        snapshot: str,
        alert_budget: float | None,
        by: str,
        now: float,
        note: str = "",
    ) -> ModelAnswer:
        data = None
        if snapshot:
            found = self._store.snapshot(number_of(snapshot))
            if found is None or found[1] not in ROWS:
                return ModelAnswer(False, f"{snapshot}: no such snapshot")
            data = found[2]
        name = snapshot or "the model of now"
        if alert_budget is not None:
            name += f", alert budget {alert_budget:g}"
        try:
            self._champion.challenge(name, now, data, alert_budget)
        except ValueError as problem:
            return ModelAnswer(False, f"no challenge: {problem}")
        self._note(by, note, now, "challenge", challenger=name)
        return ModelAnswer(True, f"{name} is compared in the shadow; `septum models report` tells")

    def promote(self, by: str, now: float, note: str = "") -> ModelAnswer:
        shadow = self._champion.shadow
        if shadow is None:
            return ModelAnswer(
                False, "there is no challenger; `septum models challenge` begins with one"
            )
        report = asdict(shadow.report())
        with self._store.transaction():
            before = self._keep_as(BEFORE, now)
            self._champion.promote()
            self.changes += 1
            self._store.save_snapshot(now, NEWEST, self._champion.snapshot())
            self._note(by, note, now, "promote", report=report, before=before)
        return ModelAnswer(True, f"{report['challenger']} decides from now on; {before} leads back")

    def dismiss(self, by: str, now: float, note: str = "") -> ModelAnswer:
        shadow = self._champion.shadow
        if shadow is None:
            return ModelAnswer(False, "there is no challenger")
        self._champion.dismiss()
        self._note(by, note, now, "dismiss", report=asdict(shadow.report()))
        return ModelAnswer(True, "the challenger is dismissed")

    def accept_drift(self, by: str, now: float, note: str = "") -> ModelAnswer:
        self._champion.detector.accept_drift()
        self._note(by, note, now, "accept")
        return ModelAnswer(True, "what is learned now is the baseline; caution has ended")

    def _keep_as(self, row: str, now: float) -> str:
        return f"m{self._store.save_snapshot(now, row, self._champion.snapshot())}"

    def _note(self, by: str, note: str, now: float, what: str, **more: object) -> None:
        noted = {"note": note} if note else {}
        self._audit.append(now, "model", {"what": what, "by": by, **noted, **more})


def number_of(name: str) -> int:
    """The number in ``m12``, -1 for what is no name of a snapshot."""
    digits = name.removeprefix("m")
    return int(digits) if name != digits and digits.isascii() and digits.isdigit() else -1

"""What detection says: a score for every record, and alerts that explain themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature's part in a raw score; the parts of an alert add up to its ``raw``.

    ``low``/``high`` bound what is normal here, in the feature's own unit.
    """

    feature: str
    value: float
    low: float
    high: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a path: a connection attempt, oldest first in a path."""

    ts: float
    src: str
    dst: str
    service: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A host that behaves as it should not.

    ``raw`` is the sum of the contributions; ``score`` its calibration in
    [0, 1]; ``attack`` a MITRE ATT&CK technique id; ``records`` the numbers of
    the input records (from 0, in input order) that the alert rests on. ``every_days``
    is about how often normal behaviour scores as high on this network, None while too little
    of it is known.
    """

    id: str
    ts: float
    host: str
    kind: str
    attack: str
    score: float
    threshold: float
    raw: float
    features: tuple[Contribution, ...]
    path: tuple[Hop, ...]
    records: tuple[int, ...]
    model: str
    every_days: float | None = None


class Scored(NamedTuple):
    """The answer to one record: its score, and the alert it raised or belongs to.

    ``alert`` is set on the record that raises one; ``alert_id`` also on later
    records of the same episode.
    """

    row: int
    score: float
    alert: Alert | None = None
    alert_id: str | None = None

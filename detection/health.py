"""How the detector is doing, for status displays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DetectorHealth:
    """For status displays. ``maturity`` in [0, 1]: how far the background is known;
    ``threshold`` in raw score (nats); ``windows`` host-windows learned, ``withheld`` not
    learned because their host was suspect or suspended, ``refused`` because it had its
    share; ``forgotten_hosts`` and ``forgotten_edges`` were dropped to keep memory bounded, being
    idle longest; ``baseline_since`` is when the frozen model was taken (None: not yet); ``caution``
    names the drift alarm that makes thresholds lower now, ``drift_alarms`` counts all; ``knocking``
    is the line of the latest day on which outside hosts tried ours in vain, if there was one.
    """

    model: str
    records: int
    hosts: int
    edges: int
    windows: int
    withheld: int
    refused: int
    maturity: float
    threshold: float
    alerts: int
    open_episodes: int
    suspended: int
    forgotten_hosts: int
    forgotten_edges: int
    baseline_since: float | None
    caution: str | None
    drift_alarms: int
    knocking: tuple[str, ...]

"""The model that decides, and one that may take its place.

The champion's alerts are the ones that count. A challenger (an older snapshot, or the same
model under another alert budget) sees the same records in the shadow: it scores and
learns, and nothing follows from it but a report of the differences. A person promotes or dismisses
it. Scoring takes twice as long while there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from detection.alert import Scored
from detection.detector import Detector
from detection.health import DetectorHealth
from topology.graph import CommunicationGraph
from topology.records import FlowRecord

MOST_HOSTS = 1000  # alerted hosts remembered for a report
APART = 0.05  # a difference of scores from which on the two see a record differently


@dataclass(frozen=True, slots=True)
class Differences:
    """Champion against challenger over the ``records`` since ``since``.

    ``alerts`` counts (champion's, challenger's); the host lists are addresses that both or only
    one of them alerted on; ``apart`` is the share of records whose scores differ
    by more than 0.05, ``widest`` the largest difference.
    """

    challenger: str
    since: float
    records: int
    alerts: tuple[int, int]
    both: tuple[str, ...]
    only_champion: tuple[str, ...]
    only_challenger: tuple[str, ...]
    apart: float
    widest: float


class Shadow:
    """A challenger at work; ``name`` says where it comes from."""

    def __init__(self, detector: Detector, name: str, since: float) -> None:
        self.detector = detector
        self._name = name
        self._since = since
        self._records = self._apart = 0
        self._widest = 0.0
        self._alerts = [0, 0]
        self._hosts: tuple[dict[str, None], dict[str, None]] = ({}, {})

    def see(self, record: FlowRecord, champion: Scored) -> None:
        mine = self.detector.step(record)
        self._records += 1
        gap = abs(mine.score - champion.score)
        self._apart += gap > APART
        self._widest = max(self._widest, gap)
        for i, scored in enumerate((champion, mine)):
            if scored.alert is not None:
                self._alerts[i] += 1
                if len(self._hosts[i]) < MOST_HOSTS:
                    self._hosts[i][scored.alert.host] = None

    def report(self) -> Differences:
        ours, theirs = (set(hosts) for hosts in self._hosts)
        return Differences(
            challenger=self._name,
            since=self._since,
            records=self._records,
            alerts=(self._alerts[0], self._alerts[1]),
            both=tuple(sorted(ours & theirs)),
            only_champion=tuple(sorted(ours - theirs)),
            only_challenger=tuple(sorted(theirs - ours)),
            apart=self._apart / max(1, self._records),
            widest=self._widest,
        )


class Champion:
    """Stands where a `Detector` stands, and can be another one a moment later."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.shadow: Shadow | None = None
        self._ours: tuple[str, ...] = ()

    @property
    def graph(self) -> CommunicationGraph:
        return self.detector.graph

    def step(self, record: FlowRecord) -> Scored:
        scored = self.detector.step(record)
        if self.shadow is not None:
            self.shadow.see(record, scored)
        return scored

    def include(self, networks: Iterable[str]) -> None:
        self._ours = tuple(networks)
        for each in self._all():
            each.include(self._ours)

    def suspend(self, address: str) -> None:
        for each in self._all():
            each.suspend(address)

    def resume(self, address: str) -> None:
        for each in self._all():
            each.resume(address)

    def snapshot(self) -> bytes:
        """Of the champion; a challenger does not survive a restart."""
        return self.detector.snapshot()

    def health(self) -> DetectorHealth:
        return self.detector.health()

    def roll_back(self, data: bytes) -> None:
        """Go on from a snapshot. Raises ValueError for bytes that are none, and changes nothing."""
        self._enthrone(Detector.restore(data))

    def challenge(
        self, name: str, now: float, data: bytes | None = None, alert_budget: float | None = None
    ) -> None:
        """Begin to compare with a snapshot, by default of the champion itself, under another
        alert budget if one is given. Raises ValueError for what cannot be used."""
        rival = Detector.restore(self.snapshot() if data is None else data)
        if alert_budget is not None:
            rival.use_alert_budget(alert_budget)
        rival.take_over(self.detector, self._ours)
        self.shadow = Shadow(rival, name, now)

    def promote(self) -> None:
        """The challenger becomes the champion. Raises ValueError when there is none."""
        if self.shadow is None:
            raise ValueError("there is no challenger")
        self._enthrone(self.shadow.detector)
        self.shadow = None

    def dismiss(self) -> None:
        self.shadow = None

    def _enthrone(self, successor: Detector) -> None:
        successor.take_over(self.detector, self._ours)
        self.detector = successor

    def _all(self) -> tuple[Detector, ...]:
        return (self.detector,) if self.shadow is None else (self.detector, self.shadow.detector)

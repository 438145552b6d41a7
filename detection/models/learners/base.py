"""The contract that every learner keeps.

A learner owns some of the features and says how much each of them adds to the
raw score of a host-window (or of one connection), in nats: about the natural logarithm of how many
normal host-windows it would take to see one like this. Features have one owner
each, so the raw score of the ensemble is the sum of all contributions, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from detection.state.counters import Counts


@dataclass(slots=True)
class UseCounts:
    """One service that a host used in a window: its fan-out at the four horizons,
    and the host's own habit (means of ``new`` then ``unserved``, changed by learning).
    ``companions`` is how many others reach for the service as it does, None where it does not
    (see `detection.features.coordination`).

    ``weight`` is this host's say in what is normal on the service; it falls with every
    window that was learned from it.
    """

    service: str
    foothold: bool
    new: Counts
    unserved: Counts
    own: list[float]
    weight: float = 1.0
    companions: float | None = None


@dataclass(slots=True)
class HostWindow:
    """What a learner sees of a host: one value per feature (``detection.features.catalogue``).

    ``maturity`` in [0, 1] says how far the background is known; ``strongest`` is the
    use whose fan-out ``values`` holds; ``uses`` are all uses of the window and are
    given for learning only; ``own`` are the host's own mean values of the features
    (None until it has any), changed by learning. ``day_known`` in [0, 1] says how far
    it is known what a whole day brings: what is learned in a morning is no norm for a day.
    """

    values: list[float]
    maturity: float
    strongest: UseCounts | None = None
    uses: Sequence[UseCounts] = ()
    own: list[float] | None = field(default=None)
    day_known: float = 1.0


@dataclass(frozen=True, slots=True)
class Range:
    """What is normal for a feature, in its own unit."""

    low: float
    high: float


Seen = TypeVar("Seen", contravariant=True)


class Learner(Protocol[Seen]):
    """What it is shown is a ``HostWindow``, or for the learner of single connections its
    ``EdgeSight``. ``features`` are the positions it owns. Scoring is done at every record.
    """

    name: str
    features: tuple[int, ...]

    def score(self, seen: Seen, into: list[float], /) -> None:
        """Write the contributions (>= 0) of the owned features; change nothing else."""

    def learn(self, seen: Seen, /) -> None:
        """Take a calm host-window (or connection) as normal."""

    def explain(self, seen: Seen, /) -> dict[int, Range]:
        """The normal range of each owned feature for this host (or edge)."""

    def snapshot(self) -> object:
        """The learned state as plain data: numbers, texts, and structs and lists of these."""

    def restore(self, state: object) -> None:
        """Continue from a :meth:`snapshot` that went through msgpack.

        Raises ValueError for data that no snapshot of this learner is, or that would make it fail
        later; it is to be discarded then.
        """

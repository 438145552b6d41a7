"""When an outside host is an alert: it guesses passwords, is let in, or logs in to several of ours.

Scanning is none (`detection.features.outsiders` counts it). An alert on guessing is about the host
and the service that is guessed at, and comes once a day however many take part.
"""

from __future__ import annotations

from math import log
from typing import Annotated

from msgspec import Meta, Struct

from detection.alert import Contribution, Hop
from detection.features.outsiders import (
    MOST_PAIRS,
    Knocking,
    KnockingState,
    Logins,
    Pair,
    login_of,
)
from detection.models.learners.tails import USUAL
from detection.state.edges import DAY, HOUR, Edge
from detection.state.stored_values import Moment, Text
from topology.records import FlowRecord

GUESSING, ACCESS = "password-guessing", "outside-access"
USUAL_LOGINS = 3.0  # exchanges within an hour from one outside host that has no habit of them
GUESSES = 12.0  # exchanges from which on they are guesses, and what follows may be a success
TIMES = 4.0  # a session carries so many times what a guess does
SESSION = 20_000.0  # bytes, at least
SEVERAL = 3  # hosts of ours that one who knocks logs in to
HOST_NATS = 5.0  # each of them adds
SESSION_NATS = 15.0  # a session after guesses adds
MOST_CAUSES = 1024


class OutsiderAlert(Struct, frozen=True):
    """What `detection.detector` makes an alert of."""

    kind: str
    attack: str
    features: tuple[Contribution, ...]
    path: tuple[Hop, ...]


class OutsidersState(Struct, frozen=True, array_like=True):
    knocking: KnockingState
    logins: Annotated[list[tuple[Text, Text, Text, Logins]], Meta(max_length=MOST_PAIRS)]
    causes: Annotated[list[tuple[Text, Text, Text, Moment]], Meta(max_length=MOST_CAUSES)]


class Outsiders:
    """``knocking`` counts who comes to nothing."""

    def __init__(self) -> None:
        self.knocking = Knocking()
        self._logins: dict[Pair, Logins] = {}
        self._causes: dict[tuple[str, str, str], float] = {}  # kind, host, service: last alerted

    def snapshot(self) -> OutsidersState:
        logins = [(*pair, each) for pair, each in self._logins.items()]
        causes = [(*cause, ts) for cause, ts in self._causes.items()]
        return OutsidersState(self.knocking.snapshot(), logins, causes)

    def restore(self, state: OutsidersState, now: float) -> None:
        """Raises ValueError for what happened later than ``now``."""
        if any(each.ts > now for *_, each in state.logins):
            raise ValueError("an outside host came later than now")
        self.knocking.restore(state.knocking)
        self._logins = {(src, dst, service): each for src, dst, service, each in state.logins}
        self._causes = {(kind, dst, service): ts for kind, dst, service, ts in state.causes}

    def step(
        self, record: FlowRecord, edge: Edge | None, knocks: bool, threshold: float, now: float
    ) -> OutsiderAlert | None:
        """An outside host reaches for one of ours. ``knocks``: what it does is, by its score,
        a search; ``threshold`` in nats, as for every alert."""
        size = login_of(record)
        if size is None:
            return None
        pair = (record.src_ip, record.dst_ip, record.service)
        logins = self._logins.pop(pair, None) or Logins()
        if len(self._logins) >= MOST_PAIRS:
            del self._logins[next(iter(self._logins))]
        self._logins[pair] = logins
        guesses, usual = logins.at(now), logins.mean
        logins.add(now, size)
        parts = [_guesses(logins.at(now), edge)]
        if guesses >= GUESSES:
            self.knocking.guessed(record.src_ip, now)
            if size >= max(SESSION, TIMES * usual):
                parts.append(Contribution("session_bytes", size, 0.0, TIMES * usual, SESSION_NATS))
        if knocks:
            hosts = self._hosts_of(record.src_ip, now)
            if hosts >= SEVERAL:
                nats = HOST_NATS * hosts
                parts.append(Contribution("hosts_logged_in_to", hosts, 0.0, SEVERAL - 1.0, nats))
        features = tuple(part for part in parts if part.contribution > 0.0)
        if sum(part.contribution for part in features) < threshold:
            return None
        kind = ACCESS if len(parts) > 1 else GUESSING
        # Who guesses does so from many addresses; who got in is one.
        subject = record.dst_ip if kind == GUESSING else record.src_ip
        if not self._is_new((kind, subject, record.service), now):
            return None
        path = (Hop(record.ts, *pair),)
        attack = "T1110" if kind == GUESSING else "T1133"
        return OutsiderAlert(kind, attack, features, path)

    def _hosts_of(self, src: str, now: float) -> float:
        """Hosts of ours that it logged in to of late."""
        return float(
            len({p[1] for p, each in self._logins.items() if p[0] == src and now - each.ts <= HOUR})
        )

    def _is_new(self, cause: tuple[str, str, str], now: float) -> bool:
        last = self._causes.pop(cause, None)
        self._causes[cause] = now
        if len(self._causes) > MOST_CAUSES:
            del self._causes[next(iter(self._causes))]
        return last is None or now - last > DAY


def _guesses(count: float, edge: Edge | None) -> Contribution:
    """Against three an hour, or what this outside host does as a habit."""
    mean = USUAL_LOGINS
    if edge is not None:
        mean = max(mean, edge.hour_habit)
    gain = log(1.0 + 1.0 / mean)
    nats = count * gain
    return Contribution("logins", count, 0.0, USUAL / gain, nats if nats > USUAL else 0.0)

"""From what was recorded to what it means: phases, figures, and whether the attack was contained.

Pure arithmetic on times; nothing here looks at a clock or a network. All times
are seconds since the epoch on one machine's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from detection.alert import Alert
from mininet_tests.scenario.actions import RequestResult
from mininet_tests.scenario.attack import AttackLog
from response.decision import Decision

MAX_SECONDS = 2.0  # first hostile packet to the rule on the switch
MAX_REACHED = 3  # hosts that may exchange payload with the attacker
IN_FLIGHT = 0.25  # seconds that packets may still be under way after the rule is confirmed


@dataclass(frozen=True, slots=True)
class Containment:
    """One machine decision as recorded in the state directory.

    ``rule`` is when the last of the switches that needed rules confirmed them
    by barrier, None if none did.
    """

    decision: Decision
    alert: Alert | None
    rule: float | None


@dataclass(frozen=True, slots=True)
class HostileTraffic:
    """What the recordings show: hostile packets as sent and as they arrived, who was reached."""

    first_sent: float | None
    sent: int
    last_through: float | None
    last_through_to: str | None
    through: int
    reached: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """Benign requests of one phase. ``apart`` are those to or from the quarantined host that
    ended after the decision; they are in neither of the other two numbers."""

    phase: str
    requests: int
    failed: int
    apart: int

    @property
    def success(self) -> float | None:
        """Share of requests that succeeded, None where there were none."""
        return None if not self.requests else 1 - self.failed / self.requests


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """Everything a run found out. ``attack`` and ``seen`` are None in a benign-only run;
    ``audit_problems`` is what breaks the audit chain, ``unheeded`` the first alert about the
    attacker where no decision came of it."""

    attack: AttackLog | None
    seen: HostileTraffic | None
    attacker: str | None
    containment: Containment | None
    decisions: tuple[Decision, ...]
    shares: tuple[Share, ...]
    failures: tuple[RequestResult, ...]
    audit_problems: tuple[str, ...] = ()
    unheeded: Alert | None = None

    @property
    def alert(self) -> Alert | None:
        """What was noticed of the attack."""
        return self.unheeded if self.containment is None else self.containment.alert

    @property
    def seconds_to_rule(self) -> float | None:
        """First hostile packet to the confirmed rule."""
        if self.seen is None or self.seen.first_sent is None or self.containment is None:
            return None
        return (
            None if self.containment.rule is None else self.containment.rule - self.seen.first_sent
        )

    @property
    def failed_requests(self) -> int:
        return sum(share.failed for share in self.shares)


def shares_of(
    outcomes: Iterable[RequestResult],
    attack: tuple[float, float] | None,
    quarantined: Collection[str],
    decided: float | None,
) -> tuple[tuple[Share, ...], tuple[RequestResult, ...]]:
    """Requests by phase (by their start; ``attack`` is its first and last moment), and the
    failures that count."""
    counts = {phase: [0, 0, 0] for phase in (("before", "during", "after") if attack else ("all",))}
    failures = []
    for outcome in outcomes:
        entry = counts[phase_of(outcome.started, attack)]
        concerned = {outcome.request.client, outcome.request.server} & set(quarantined)
        if concerned and decided is not None and outcome.ended >= decided:
            entry[2] += 1
            continue
        entry[0] += 1
        if not outcome.ok:
            entry[1] += 1
            failures.append(outcome)
    return tuple(Share(phase, *numbers) for phase, numbers in counts.items()), tuple(failures)


def phase_of(moment: float, attack: tuple[float, float] | None) -> str:
    if attack is None:
        return "all"
    return "before" if moment < attack[0] else "during" if moment <= attack[1] else "after"


def containment_of(found: Sequence[Containment], suspects: Collection[str]) -> Containment | None:
    """The first decision in force against a host in the attacker's hands."""
    mine = [c for c in found if c.decision.target in suspects and c.decision.state == "active"]
    return min(mine, key=lambda c: c.decision.ts, default=None)


def problems(result: ScenarioResult) -> tuple[str, ...]:
    """Why a run is no success, one line each; empty if it is.

    With an attack: it must be contained and benign traffic unharmed. Without:
    no decision at all, proposals among them, and no failed request.
    """
    contained = not_contained(result) if result.attacker is not None else ()
    return (*contained, *harmed(result), *result.audit_problems)


def not_contained(result: ScenarioResult) -> tuple[str, ...]:
    """Why the attack does not count as contained; empty if it does."""
    attack, seen, stop = result.attack, result.seen, result.containment
    if attack is None or seen is None or seen.first_sent is None:
        return ("no hostile packet was seen: the attack did not take place",)
    found = []
    seconds = result.seconds_to_rule
    if stop is None:
        found.append(f"no decision against {result.attacker}")
    elif seconds is None or stop.rule is None:
        found.append("the decision's rules were never confirmed by a switch")
    else:
        if seconds > MAX_SECONDS:
            found.append(
                f"{seconds:.2f} s from first hostile packet to rule (limit {MAX_SECONDS:g} s)"
            )
        if seen.last_through is not None and seen.last_through > stop.rule + IN_FLIGHT:
            late = seen.last_through - stop.rule
            found.append(
                f"a hostile packet reached {seen.last_through_to} {late:.2f} s after the rule"
            )
    if len(seen.reached) > MAX_REACHED:
        found.append(f"{len(seen.reached)} hosts reached (limit {MAX_REACHED})")
    if attack.pivots:
        found.append(f"the attacker logged in to {', '.join(attack.pivots)}")
    if attack.loot:
        found.append(f"the attacker read {', '.join(attack.loot)}")
    return tuple(found)


def harmed(result: ScenarioResult) -> tuple[str, ...]:
    """What benign traffic suffered; empty if nothing."""
    found = []
    if result.failed_requests:
        found.append(f"{result.failed_requests} benign requests failed")
    if not sum(share.requests for share in result.shares):
        found.append("no benign request was made")
    own = {result.attacker, *(result.attack.pivots if result.attack else ())}
    wrong = [d for d in result.decisions if d.target not in own]
    if result.attacker is not None:
        wrong = [d for d in wrong if d.state != "proposed"]
    found += [f"{d.state} {d.action} of {d.target}, which did nothing wrong" for d in wrong]
    return tuple(found)

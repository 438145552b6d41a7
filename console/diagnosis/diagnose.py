"""One answer to "why does this not work?": every check in the order of a packet's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console.diagnosis.admission import (
    judge_one,
    judged,
    last_seen,
    restrained,
    segments,
    services_between,
)
from console.diagnosis.attachment import attachment
from console.diagnosis.situation import Diagnosis, Finding, NamedEnd, Situation

NOT_KNOWN = "so how switches and ports are now is not known"


@dataclass(frozen=True, slots=True)
class ConnectionQuestion:
    """``target`` None asks about ``origin`` alone, ``service`` None about every service."""

    origin: NamedEnd
    target: NamedEnd | None = None
    service: str | None = None

    def __str__(self) -> str:
        to = "" if self.target is None else f" to {self.target.word}"
        return f"{self.origin.word}{to}" + ("" if self.service is None else f", {self.service}")


def diagnose(question: ConnectionQuestion, situation: Situation) -> Diagnosis:
    """All findings. Raises QueryError for a service that no single connection stands for."""
    found = dict.fromkeys(_findings(question, situation))  # both ends may be on one switch
    return Diagnosis(str(question), tuple(found))


def _findings(question: ConnectionQuestion, situation: Situation) -> Iterator[Finding]:
    origin, target, service = question.origin, question.target, question.service
    if situation.switches is None:
        text = f"{situation.unanswered}, {NOT_KNOWN}"
        yield Finding("unsure", "controller", text, "start `septum run`, or give --state")
    if situation.problem:
        advice = "`septum status` shows it; new hosts get no rules until it is mended"
        yield Finding("wrong", "rules", situation.problem, advice)
    ends = [origin] if target is None else [origin, target]
    for end in ends:
        yield from attachment(end, situation)
    for end in ends:
        yield from restrained(end, situation, decides=service is None)
    for end in ends:
        if end.addresses:
            yield segments(end, situation)
    wanted = service
    if target is not None and origin.addresses and target.addresses:
        if service is None:
            yield services_between(origin, target, situation)
        else:
            asked = judge_one(origin, target, service, situation)
            wanted = asked.service
            yield judged(asked, situation)
    yield from last_seen(origin, target, wanted, situation)

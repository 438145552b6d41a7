"""The history of one decision in order, from its alert to what would release it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import to_builtins

from console.clients.state_directory import moment
from console.views.audit_summary import summary
from console.views.tables import listed
from detection.alert import Alert
from detection.alerting.sentences import sentence
from response.audit.chain import AuditEntry
from response.decision import ActionChoice, Decision, Option, places
from response.state.interfaces import StoredAlert
from topology.records import FlowRecord

SCOPES = {
    "port": "and all that is or comes on the port where it was found",
    "shared-port": "and all that is or comes on a port that it shares",
    "host": "not the whole port where it was found",
}
MAX_SHOWN = 12  # hops, and records, on a terminal


@dataclass(frozen=True, slots=True)
class Story:
    """``alert`` None: its evidence is no longer in the store, the audit still has it.
    ``hold`` names who put automatic action on hold, if it is.
    """

    decision: Decision
    alert: StoredAlert | None
    history: tuple[AuditEntry, ...]
    hold: str | None = None

    def as_json(self) -> dict[str, Any]:
        told = self.alert
        return {
            "decision": as_json_value(self.decision),
            "alert": None if told is None else to_builtins(told.alert),
            "envelope": None if told is None else told.reason,
            "choice": None if told is None or told.choice is None else to_builtins(told.choice),
            "left_out": [] if told is None else [to_builtins(option) for option in left_out(told)],
            "approved_by": self.approver,
            "hold": self.hold,
            "evidence": [] if told is None else [record.known() for record in told.evidence],
            "history": [{**to_builtins(entry), "data": entry.values()} for entry in self.history],
        }

    @property
    def approver(self) -> str | None:
        """By whom it was authorized: a person, the policy, or nobody yet."""
        decision = self.decision
        if decision.approved_by is not None:
            return decision.approved_by
        acted = any(entry.kind == "enforce" for entry in self.history)
        return "the policy (adapt: auto)" if acted else None


def left_out(told: StoredAlert) -> list[Option]:
    """Actions that the envelope did not allow at once, besides or instead of the chosen one."""
    options = () if told.choice is None else told.choice.options
    return [each for each in options if each.action != "alert" and each.outcome != "active"]


def as_json_value(decision: Decision) -> dict[str, Any]:
    """A decision with the fields that scripts rely on, and when it ends."""
    return {**to_builtins(decision), "expires": decision.expires}


def tell(story: Story) -> Iterator[str]:
    """The story as lines of text."""
    decision = story.decision
    yield f"{decision.id}: {decision.action} of {decision.target}, {decision.state}"
    yield f"  {decision.why}"
    if story.alert is not None:
        yield from _seen(story.alert)
        yield from _features(story.alert.alert)
    yield from _decided(story)
    yield from _rules(decision)
    yield ""
    yield "What happened since"
    for entry in story.history:
        yield f"  {moment(entry.ts)}  {entry.kind:<9}  {summary(entry)}"
    yield ""
    yield "What would release it"
    yield f"  {decision.would_release_if}"
    if story.hold is not None:
        yield ""
        yield f"Automatic action is on hold by {story.hold}"


def _seen(told: StoredAlert) -> Iterator[str]:
    alert = told.alert
    yield ""
    yield "What was seen"
    yield f"  {moment(alert.ts)}  {alert.kind} ({alert.attack}) by {alert.host}"
    yield f"  {sentence(alert)}"
    if alert.path:
        yield "  path, oldest hop first:"
        hops, left = listed(alert.path, MAX_SHOWN)
        for hop in hops:
            yield f"    {moment(hop.ts)}  {hop.src} -> {hop.dst}  {hop.service}"
        yield from _more(left)
    if told.evidence:
        yield f"  records ({len(alert.records)} in all):"
        records, left = listed(told.evidence, MAX_SHOWN)
        for record in records:
            yield f"    {_record(record)}"
        yield from _more(left)


def _features(alert: Alert) -> Iterator[str]:
    yield ""
    yield "Why it is unusual"
    yield f"  {'feature':<24} {'value':>10}  {'normal here':>17}  {'adds':>8}"
    for part in sorted(alert.features, key=lambda each: -each.contribution):
        normal = f"{part.low:.4g} to {part.high:.4g}"
        yield f"  {part.feature:<24} {part.value:>10.4g}  {normal:>17}  {part.contribution:>8.3f}"
    yield f"  {'together (raw score)':<24} {'':>10}  {'':>17}  {alert.raw:>8.3f}"
    yield (
        f"  score {alert.score:.6f} (that share of host-windows scores lower), "
        f"alert from {alert.threshold:.6f}; model {alert.model}"
    )


def _decided(story: Story) -> Iterator[str]:
    decision = story.decision
    yield ""
    yield "What was decided"
    yield f"  {decision.action} of {decision.target} ({', '.join(decision.addresses)})"
    if decision.ports:
        yield f"  {SCOPES.get(decision.scope, decision.scope)}: {', '.join(places(decision.ports))}"
    told = story.alert
    if told is not None:
        yield f"  {told.outcome}: {told.reason}"
        if told.choice is not None:
            yield from _chosen(told.choice, left_out(told), told.outcome)
    yield f"  by {decision.by}, {moment(decision.ts)} to {moment(decision.expires)}"
    yield f"  approved by {story.approver or 'nobody yet'}"
    if decision.supersedes is not None:
        yield f"  takes the place of {decision.supersedes}"
    if decision.superseded_by is not None:
        yield f"  {decision.superseded_by} took its place"


def _chosen(choice: ActionChoice, left: list[Option], outcome: str) -> Iterator[str]:
    worth = ", ".join(
        f"{each.action} {each.worth:.2f}" for each in choice.options if each.worth is not None
    )
    explored = ", to learn about it" if choice.explored else ""
    yield f"  chosen: {choice.action}{explored}; the fixed table says {choice.table}"
    yield f"  expected worth: {worth}"
    if not left:
        yield "  the envelope left nothing out"
    for option in left:
        far = "only proposed" if option.outcome == "proposed" else "left out"
        yield f"  the envelope: {option.action} {far}: {option.reason}"


def _rules(decision: Decision) -> Iterator[str]:
    yield ""
    yield "Rules that switches confirmed and hold"
    if not decision.rules:
        yield "  none"
    for rule in decision.rules:
        yield f"  switch {rule.switch}  table {rule.table}  cookie {rule.cookie:#018x}"


def _record(record: FlowRecord) -> str:
    result = record.verdict or record.state or ""
    return f"{moment(record.ts)}  {record.src_ip} -> {record.dst_ip}  {record.service}  {result}"


def _more(left: int) -> Iterator[str]:
    if left:
        yield f"    and {left} more (in a pipe all are shown)"

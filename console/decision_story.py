"""One decision told in order, from what was seen to what would release it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from console.audit_summary import summary
from console.state import moment
from detection.alerts import Alert
from response.chain import AuditEntry
from response.decisions import Decision
from response.interfaces import StoredAlert
from response.values import plain, sparse
from topology.records import FlowRecord

MAX_SHOWN = 12  # hops, and records, in the text; JSON has all


@dataclass(frozen=True, slots=True)
class Story:
    """``alert`` None: its evidence is no longer in the store, the audit still has it."""

    decision: Decision
    alert: StoredAlert | None
    history: tuple[AuditEntry, ...]

    def as_json(self) -> dict[str, Any]:
        told = self.alert
        return {
            "decision": as_json_value(self.decision),
            "alert": None if told is None else plain(told.alert),
            "envelope": None if told is None else told.reason,
            "evidence": [] if told is None else [sparse(record) for record in told.evidence],
            "history": [{**plain(entry), "data": entry.values()} for entry in self.history],
        }


def as_json_value(decision: Decision) -> dict[str, Any]:
    """A decision with the fields that scripts rely on, and when it ends."""
    return {**plain(decision), "expires": decision.expires}


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


def _seen(told: StoredAlert) -> Iterator[str]:
    alert = told.alert
    yield ""
    yield "What was seen"
    yield f"  {moment(alert.ts)}  {alert.kind} ({alert.attack}) by {alert.host}"
    if alert.path:
        yield "  path, oldest hop first:"
        for hop in alert.path[:MAX_SHOWN]:
            yield f"    {moment(hop.ts)}  {hop.src} -> {hop.dst}  {hop.service}"
        yield from _more(len(alert.path))
    if told.evidence:
        yield f"  records ({len(alert.records)} in all):"
        for record in told.evidence[:MAX_SHOWN]:
            yield f"    {_record(record)}"
        yield from _more(len(told.evidence))


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
    if story.alert is not None:
        yield f"  {story.alert.outcome}: {story.alert.reason}"
    yield f"  by {decision.by}, {moment(decision.ts)} to {moment(decision.expires)}"


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


def _more(count: int) -> Iterator[str]:
    if count > MAX_SHOWN:
        yield f"    and {count - MAX_SHOWN} more (--json shows all)"

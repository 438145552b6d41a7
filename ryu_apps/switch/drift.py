"""Drift of ready switches: what others change on them is found, reported and repaired."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from policies.rules.rule import Rule
from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.openflow.encode import WireKey, WireRule
from ryu_apps.switch.bundle_writer import Confirmed
from ryu_apps.switch.reconcile import CheckResult, RuleDifference, compare, drift
from ryu_apps.switch.session import CHECK_EVERY, Phase, Session
from ryu_apps.switch.table_reader import TableReading

NOTHING = RuleDifference((), (), (), 0)
DesiredRules = Callable[[], Iterable[Rule]]
Repair = Callable[[Confirmed], list[Effect]]


def check_when_due(session: Session, now: float) -> list[Effect]:
    """Read a ready switch again when that is due; call a few times a second."""
    if session.phase is not Phase.READY or session.unsure:
        return []
    if session.reading is not None:
        return []
    if now < session.check_at and not session.foreign.due(now):
        return []
    return session.check(now)


def unread(session: Session, why: str, now: float) -> list[Effect]:
    """A reading failed. Its rules may be right all the same, so nothing is repaired."""
    before = session.checked
    failure = f"its rules could not be read: {why}"
    session.drop_reading()
    session.check_at = now + CHECK_EVERY
    session.counters.unread += 1
    session.checked = CheckResult(now, NOTHING, failure=failure)
    if before is not None and before.failure:
        return []  # reported already
    text = f"switch {session.switch}: {failure}"
    return [
        Log(logging.WARNING, text),
        Report(SwitchChanged(now, session.switch, "unread", failure)),
    ]


def judge(
    session: Session, reading: TableReading, desired: DesiredRules, repair: Repair, now: float
) -> list[Effect]:
    """Compare a ready switch's reading with what it should have, and repair what differs.

    Usually that is what the session has recorded as installed; ``desired`` compiles
    anew, for a thorough comparison. The rules of a switch that refused a change are
    uncertain until it is read anew, so nothing is repaired here.
    """
    found = reading.merged(session.installed)
    difference = drift(session.installed, found)
    if reading.thorough:
        difference = _thorough(session, desired(), difference, found)
    meters = tuple(
        number
        for number, meter in session.meters.items()
        if reading.meters.get(number) != meter and number not in reading.touched_meters
    )
    session.check_at = now + CHECK_EVERY
    session.counters.checks += 1
    checked = session.checked = CheckResult(now, difference, meters)
    session.foreign.compared(now)
    if checked.right or session.unsure:
        return _rest(session, now) if checked.right else []
    session.drifted = checked
    session.counters.drifts += 1
    wrong = {rule.key for rule in difference.altered}  # to be written again in any case
    session.installed = {key: rule for key, rule in found.items() if key not in wrong}
    session.meters = {n: meter for n, meter in session.meters.items() if n not in meters}
    session.meters |= {n: reading.meters[n] for n in meters if n in reading.meters}
    text = "; ".join((checked.summary(), *difference.examples()))
    reported = session.foreign.report(now)

    def repaired(at: float) -> list[Effect]:
        session.foreign.compared(at)
        if not reported:
            return []
        detail = f"{checked.summary()}: put right"
        return [
            Log(logging.INFO, f"switch {session.switch} is repaired"),
            Report(SwitchChanged(at, session.switch, "repaired", detail)),
        ]

    if not reported:
        return repair(repaired)
    return [
        Log(logging.WARNING, f"switch {session.switch} had foreign changes: {text}"),
        Report(SwitchChanged(now, session.switch, "drift", text)),
        *repair(repaired),
    ]


def _rest(session: Session, now: float) -> list[Effect]:
    """Report how many comparisons that found something were not reported one by one."""
    count = session.foreign.sum_up(now)
    if not count:
        return []
    text = f"{count} more comparisons found foreign changes, and they were put right"
    return [
        Log(logging.WARNING, f"switch {session.switch}: {text}"),
        Report(SwitchChanged(now, session.switch, "drift", text)),
    ]


def _thorough(
    session: Session,
    rules: Iterable[Rule],
    drifted: RuleDifference,
    found: Mapping[WireKey, WireRule],
) -> RuleDifference:
    """Against the policy itself.

    What ends by a timer may end a moment sooner or later than its decision: such
    rules count only where the switch differs from what the session recorded.
    """
    whole = compare(session.wire(rules), found)
    strange = {rule.key for rule in (*drifted.missing, *drifted.altered, *drifted.excess)}
    known = {rule.key for rule in (*whole.missing, *whole.altered, *whole.excess)}
    altered = [*whole.altered, *(rule for rule in drifted.altered if rule.key not in known)]

    def counted(found_so: Iterable[WireRule]) -> tuple[WireRule, ...]:
        return tuple(rule for rule in found_so if not rule.timed or rule.key in strange)

    return RuleDifference(
        counted(whole.missing), counted(altered), counted(whole.excess), whole.proper
    )

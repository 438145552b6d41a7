"""What happens to a decision after it was made: more, longer, narrower, and who is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policies.model import Adapt, Mode
from response.audit.log import Audit
from response.decision import MAX_TTL, InstalledRule
from response.decisions.hold import set_hold
from response.ipc.messages import Ask, Command, Enforce, RecordsSeen, Release, RulesConfirmed
from response.state.store import Store
from tests.support.street import make_alert
from topology.records import FlowRecord

if TYPE_CHECKING:
    from tests.support.street import Street

ALL = ("alert", "rate_limit", "isolate", "quarantine")


def accuse(
    street: Street, host: str, now: float, score: float = 0.9995, hops: int = 2, **more: Any
) -> list[Command]:
    """One record of ``host`` that raises an alert with this score and path length."""
    row = street.detector.rows
    alert = make_alert(host, now, records=(row,), id=f"a{row}", **more)
    street.detector.alerts[row] = replace(alert, score=score, path=alert.path[:hops])
    record = FlowRecord(now, host, "10.0.0.2", "tcp", 40000, 22, phase="start", switch=1)
    return street.analysis.step(RecordsSeen((record,)), now)


def widen(street: Street, *actions: str, **limits: Any) -> None:
    assert street.envelope is not None
    street.envelope = replace(street.envelope, actions=actions or ALL, **limits)
    street.reopen(1000.0)


def states(street: Street) -> dict[str, tuple[str, str]]:
    return {d.id: (d.action, d.state) for d in street.store.decisions()}


def test_a_host_that_does_worse_gets_more_and_the_record_has_both(street: Street) -> None:
    widen(street)
    (first,) = accuse(street, "10.0.0.1", 1001.0, score=0.995)
    assert (first.decision.action, first.decision.ttl) == ("rate_limit", 900)
    second, undone = accuse(street, "10.0.0.1", 1002.0, score=0.9995, hops=1)
    assert isinstance(second, Enforce) and isinstance(undone, Release)
    third, *_ = accuse(street, "10.0.0.1", 1003.0, score=0.9995, hops=2)
    assert states(street) == {
        "d1": ("rate_limit", "released"),
        "d2": ("isolate", "released"),
        "d3": ("quarantine", "active"),
    }
    made = {d.id: d for d in street.store.decisions()}
    assert (made["d1"].superseded_by, made["d2"].supersedes) == ("d2", "d1")
    assert (made["d2"].superseded_by, made["d3"].supersedes) == ("d3", "d2")
    assert third.decision.id == "d3"
    reasons = [e.values()["reason"] for e in street.audit.entries(kind="released")]
    assert reasons == ["superseded by d2", "superseded by d3"]
    assert "10.0.0.1" in street.detector.suspended
    assert accuse(street, "10.0.0.1", 1003.5, score=0.995) == [], "it never becomes weaker"
    assert street.audit.verify().whole


def test_escalation_beyond_the_envelope_waits_for_a_person_once(street: Street) -> None:
    widen(street, max_hosts=1)
    accuse(street, "10.0.0.2", 1000.5)
    accuse(street, "10.0.0.1", 1001.0, score=0.995)
    assert accuse(street, "10.0.0.1", 1002.0) == []
    assert accuse(street, "10.0.0.1", 1003.0) == []
    assert states(street) == {
        "d1": ("quarantine", "active"),
        "d2": ("rate_limit", "active"),
        "d3": ("quarantine", "proposed"),
    }
    done = street.analysis.ask(Ask("approve", "d3", "ana"), 1010.0)
    assert [type(c) for c in done.commands] == [Enforce, Release]
    assert states(street)["d2"] == ("rate_limit", "released")
    assert states(street)["d3"] == ("quarantine", "active")
    approved = street.store.decision("d3")
    assert approved is not None
    assert (approved.approved_by, approved.supersedes) == ("ana", "d2")


def test_a_host_that_goes_on_stays_blocked(street: Street) -> None:
    (first,) = accuse(street, "10.0.0.1", 1001.0)
    (again,) = accuse(street, "10.0.0.1", 1500.0)
    assert isinstance(again, Enforce)
    assert (again.decision.id, again.decision.expires) == (first.decision.id, 2400.0)
    assert street.analysis.tick(1950.0) == []
    street.reopen(1951.0)
    (ended,) = street.analysis.tick(2400.0)
    assert ended.decision.state == "expired"


def test_a_person_extends_within_what_a_switch_can_time(street: Street) -> None:
    (first,) = accuse(street, "10.0.0.1", 1001.0)
    made = first.decision.id
    for seconds in (0, -5, MAX_TTL + 1):
        assert not street.analysis.ask(Ask("extend", made, "ana", "", seconds), 1002.0).ok
    done = street.analysis.ask(Ask("extend", made, "ana", "still looking", 3600), 1002.0)
    (command,) = done.commands
    assert command.decision.expires == 4602.0
    again = street.analysis.ask(Ask("extend", made, "ana", "", 3600), 1003.0)
    assert (again.ok, again.commands) == (True, ())
    shorter = street.analysis.ask(Ask("extend", made, "ana", "", 60), 1003.0)
    assert (shorter.ok, shorter.commands) == (True, ()), "it never ends sooner"
    (entry,) = street.audit.entries(kind="extended")
    assert entry.values()["by"] == "ana"
    street.analysis.ask(Ask("release", made, "ana"), 1004.0)
    assert not street.analysis.ask(Ask("extend", made, "ana", "", 60), 1005.0).ok
    assert not street.analysis.ask(Ask("extend", "d9", "ana", "", 60), 1005.0).ok


def test_hold_stops_everything_that_is_automatic(street: Street) -> None:
    widen(street)
    (first,) = accuse(street, "10.0.0.1", 1001.0, score=0.995)
    # Written by another process, as the command does while the analysis is down.
    other = Store.open(street.directory, 1002.0)
    assert set_hold(other, Audit(other), True, "ana", 1002.0).ok
    assert set_hold(other, Audit(other), True, "ben", 1002.0).ok
    assert accuse(street, "10.0.0.1", 1003.0) == [], "no escalation"
    assert accuse(street, "10.0.0.1", 1400.0, score=0.995) == [], "no extension"
    assert accuse(street, "10.0.0.2", 1401.0) == []
    held = {d.id: d.state for d in street.store.decisions()}
    assert held == {first.decision.id: "active", "d2": "proposed", "d3": "proposed"}
    (entry,) = street.audit.entries(kind="hold")
    assert entry.values() == {"on": True, "by": "ana"}
    street.reopen(1402.0)
    street.analysis.start(1402.0)
    assert [*street.audit.entries(kind="started")][-1].values()["hold"] == "ana"
    assert set_hold(other, Audit(other), False, "ana", 1403.0).ok
    (acted, *_) = accuse(street, "10.0.0.2", 1404.0)
    assert acted.decision.supersedes == "d3"
    assert states(street)["d3"] == ("quarantine", "rejected")
    assert street.audit.verify().whole


def test_an_alert_says_what_there_was_to_choose_from(street: Street) -> None:
    widen(street, "alert", "rate_limit", "quarantine", max_hosts=1)
    accuse(street, "10.0.0.2", 1000.5)
    accuse(street, "10.0.0.1", 1001.0)
    stored = street.store.alert_of("d2")
    assert stored is not None and stored.choice is not None
    choice = stored.choice
    assert (choice.action, choice.table, choice.explored) == ("quarantine", "quarantine", False)
    how = {option.action: (option.outcome, option.worth is None) for option in choice.options}
    assert how == {
        "alert": ("alert", False),
        "rate_limit": ("active", False),
        "isolate": ("alert", True),
        "quarantine": ("proposed", False),
    }
    reasons = {option.action: option.reason for option in choice.options}
    assert "not among the policy's adaptive actions" in reasons["isolate"]
    assert "max_hosts is 1" in reasons["quarantine"]
    assert dict(choice.context)["certain-path"] == 1.0
    (entry,) = street.audit.entries(kind="alert", decision="d2")
    assert entry.values()["choice"]["table"] == "quarantine"


def test_confirmations_of_what_is_undone_already_are_kept_straight(street: Street) -> None:
    (first,) = accuse(street, "10.0.0.1", 1001.0)
    made = first.decision.id
    rules = (InstalledRule(1, 3, 77), InstalledRule(2, 3, 77))
    street.analysis.ask(Ask("release", made, "ana"), 1002.0)
    street.analysis.step(RulesConfirmed(1002.1, made, rules[:1]), 1002.1)  # it overtook nobody
    street.reopen(1003.0)
    (again,) = street.analysis.start(1003.0)
    assert isinstance(again, Release)
    street.analysis.step(RulesConfirmed(1003.1, made, rules, removed=True), 1003.1)
    kept = street.store.decision(made)
    assert kept is not None and kept.rules == ()
    assert street.kinds().count("removed") == 1


def test_what_is_judged_in_audit_mode_may_be_explored_and_enforce_never(street: Street) -> None:
    """The learner is made to know nothing of two actions: only where segments are not enforced
    does that speak for the one that was never tried."""
    street.segments.adapt["web"] = Adapt.AUTO
    for mode, explored in ((Mode.ENFORCE, False), (Mode.AUDIT, True)):
        street.segments.modes = {"web": mode, "db": mode, "edge": mode}
        widen(street)
        learner = street.analysis._decisions.ledger.learner
        accuse(street, "10.0.0.1", 1001.0)
        stored = street.store.alert_of(street.store.decisions()[-1].id)
        assert stored is not None and stored.choice is not None
        features = dict(stored.choice.context)
        for _ in range(40):
            learner.learn(features, "quarantine", "quarantine", 0.76)
        accuse(street, "10.0.0.2" if explored else "10.0.0.3", 1002.0)
        last = street.store.alerts()[-1].choice
        assert last is not None
        assert last.explored == explored
        assert (last.action == "quarantine") != explored
        for decision in street.store.decisions("active"):
            street.analysis.ask(Ask("release", decision.id, "septum"), 1003.0)


def test_what_an_extended_decision_put_on_switches_is_known_until_it_is_gone(
    street: Street,
) -> None:
    """Released before the switches have confirmed its extension, and the controller killed."""
    widen(street)
    (made,) = accuse(street, "10.0.0.1", 1001.0)
    rule = InstalledRule(1, 7, 42)
    placed = RulesConfirmed(1001.1, made.decision.id, (rule,))
    street.analysis.step(placed, 1001.1)
    assert street.analysis.ask(Ask("extend", "d1", "ana", "", 3600), 1002.0).ok
    assert street.analysis.ask(Ask("release", "d1", "ana"), 1002.1).ok
    street.reopen(1003.0)
    (undone,) = [each for each in street.analysis.start(1003.0) if isinstance(each, Release)]
    assert undone.decision.id == "d1"
    street.analysis.step(RulesConfirmed(1003.1, "d1", (rule,), True), 1003.1)
    found = street.store.decision("d1")
    assert found is not None and found.rules == ()
    assert [e.values()["rules"] for e in street.audit.entries(kind="removed")] == [[[1, 7, 42]]]


def test_an_extension_is_confirmed_once_in_the_audit(street: Street) -> None:
    widen(street)
    accuse(street, "10.0.0.1", 1001.0)
    placed = RulesConfirmed(1001.1, "d1", (InstalledRule(1, 7, 42),))
    for _ in range(2):
        street.analysis.step(placed, 1001.1)
    assert len(list(street.audit.entries(kind="confirmed"))) == 1
    assert street.analysis.ask(Ask("extend", "d1", "ana", "", 3600), 1002.0).ok
    for _ in range(2):
        street.analysis.step(placed, 1002.1)
    assert len(list(street.audit.entries(kind="confirmed"))) == 2

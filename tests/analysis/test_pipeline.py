from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from analysis import pipeline as analysis_module
from policies.model import Adapt
from response.decision import InstalledRule
from response.decisions import responder
from response.ipc.messages import (
    Ask,
    Command,
    Enforce,
    HostsChanged,
    PolicyApplied,
    RecordsSeen,
    Release,
    RulesConfirmed,
    SpoofsSeen,
    SwitchChanged,
)
from tests.support.street import make_alert
from topology.records import FlowRecord, SpoofedPacket

if TYPE_CHECKING:
    from tests.support.street import Street

WEB1 = ("10.0.0.1", "fd00::1", "fe80::200:ff:fe00:1")
STRANGER = "fe80::200:ff:fe00:99"


def record(src: str = "10.0.0.1", ts: float = 1000.0) -> FlowRecord:
    return FlowRecord(ts, src, "10.0.0.2", "tcp", 40000, 22, phase="start", switch=1)


def accuse(street: Street, host: str, now: float = 1001.0, **more: Any) -> list[Command]:
    """One record of ``host`` that raises an alert about it."""
    row = street.detector.rows
    street.detector.alerts[row] = make_alert(host, now, records=(row,), **more)
    return street.analysis.step(RecordsSeen((record(host, now),)), now)


def quarantined(street: Street, host: str = "10.0.0.1", now: float = 1001.0) -> str:
    (command,) = accuse(street, host, now)
    assert isinstance(command, Enforce)
    return command.decision.id


def test_an_alert_in_an_auto_segment_quarantines_the_whole_host(street: Street) -> None:
    (command,) = accuse(street, "10.0.0.1")
    assert isinstance(command, Enforce)
    made = command.decision
    assert (made.id, made.number, made.action, made.state) == ("d1", 1, "quarantine", "active")
    assert (made.target, made.addresses) == ("web1", WEB1)
    assert (made.ts, made.expires) == (1001.0, 1901.0)
    assert "T1021" in made.why
    assert "14 new internal peers on any service" in made.why and "(normal up to 2)" in made.why
    assert "1, not 4" in made.would_release_if
    assert street.store.decision("d1") == made
    assert street.detector.suspended == set(WEB1)


def test_the_whole_story_is_in_the_audit_before_the_command_is_out(street: Street) -> None:
    street.analysis.step(RecordsSeen((record(),) * 3), 1000.0)
    quarantined(street)
    assert street.kinds() == ["alert", "decision", "enforce"]
    alert, decision, enforce = (entry.values() for entry in street.audit.entries(decision="d1"))
    assert alert["outcome"] == "active"
    assert alert["alert"]["features"][0]["feature"] == "new_peers"
    assert alert["alert"]["path"][0]["service"] == "tcp/22"
    assert alert["evidence"][0]["src_ip"] == "10.0.0.1"
    assert "within the envelope" in decision["reason"]
    assert enforce["addresses"] == list(WEB1)
    assert street.audit.verify().whole


def test_switches_confirm_and_the_record_says_where(street: Street) -> None:
    made = quarantined(street)
    one, two = InstalledRule(1, 3, 77), InstalledRule(2, 3, 77)
    street.analysis.step(RulesConfirmed(1001.1, made, (one,)), 1001.1)
    street.analysis.step(RulesConfirmed(1001.2, made, (one, two)), 1001.2)
    kept = street.store.decision(made)
    assert kept is not None
    assert kept.rules == (one, two)
    street.analysis.release(made, "ana", 1002.0)
    street.analysis.step(RulesConfirmed(1002.1, made, (one, two), removed=True), 1002.1)
    gone = street.store.decision(made)
    assert gone is not None
    assert (gone.state, gone.rules) == ("released", ())
    assert street.kinds()[-6:] == [
        "confirmed", "confirmed", "released", "withdraw", "reward", "removed",
    ]  # fmt: skip
    street.analysis.step(RulesConfirmed(1002.2, made, (one, two), removed=True), 1002.2)
    assert street.kinds()[-1] == "removed" and street.kinds().count("removed") == 1
    assert street.analysis.step(RulesConfirmed(1.0, "d99", (one,)), 1.0) == []


def test_a_second_alert_about_a_blocked_host_is_kept_but_decides_nothing(street: Street) -> None:
    made = quarantined(street)
    assert accuse(street, "fd00::1", 1002.0, id="a2") == []
    assert [d.id for d in street.store.decisions()] == [made]
    assert street.store.alerts()[-1].decision == made
    first = street.store.alert_of(made)
    assert first is not None
    assert first.alert.id == "a1"


def test_the_envelope_holds_over_a_flood_of_accusations(street: Street) -> None:
    street.segments.protected = frozenset({"fd00::5"})
    street.use_policy(1000.0)
    commands = [c for n in range(1, 8) for c in accuse(street, f"10.0.0.{n}", 1000.0 + n)]
    assert [c.decision.target for c in commands] == ["web1", "web2"]  # max_hosts: 2
    states = {d.target: d.state for d in street.store.decisions()}
    assert states == {
        "web1": "active", "web2": "active", "web3": "proposed", "web4": "proposed",
        "db1": "proposed", "gw": "proposed",
    }  # fmt: skip
    assert "protected" in next(
        s.reason for s in street.store.alerts() if s.alert.host == "10.0.0.5"
    )


def test_strangers_no_adapt_and_no_envelope_only_alert(street: Street) -> None:
    assert accuse(street, "203.0.113.9") == []
    street.reopen(1002.0, adapt=False)
    assert accuse(street, "10.0.0.1") == []
    street.envelope = None
    street.reopen(1003.0)
    assert accuse(street, "10.0.0.1") == []
    assert street.store.decisions() == ()
    assert [s.outcome for s in street.store.alerts()] == ["alert"] * 3
    assert "no known host" in street.store.alerts()[0].reason
    assert "turned off" in street.store.alerts()[1].reason
    assert "no adaptive section" in street.store.alerts()[2].reason


def test_time_ends_a_decision_and_learning_goes_on(street: Street) -> None:
    made = quarantined(street)
    assert street.analysis.tick(1900.9) == []
    (command,) = street.analysis.tick(1901.0)
    assert isinstance(command, Release)
    assert command.reason == "expired"
    assert street.detector.suspended == set()
    assert street.analysis.tick(1902.0) == []
    kept = street.store.decision(made)
    assert kept is not None
    assert kept.state == "expired"
    assert "expired" in street.kinds()


def test_release_is_idempotent_and_makes_the_machine_ask_next_time(street: Street) -> None:
    made = quarantined(street)
    done = street.analysis.release(made, "ana", 1010.0, "it was the backup")
    assert done.ok
    (command,) = done.commands
    assert isinstance(command, Release)
    assert command.reason == "released by ana: it was the backup"
    assert street.detector.suspended == set()
    again = street.analysis.release(made, "ana", 1011.0)
    assert (again.ok, again.commands) == (True, ())
    assert accuse(street, "10.0.0.1", 1020.0) == []
    (proposal,) = street.store.decisions("proposed")
    assert proposal.target == "web1"
    stored = street.store.alert_of(proposal.id)
    assert stored is not None
    assert "ana undid" in stored.reason
    street.analysis.tick(1020.0 + 900)
    assert quarantined(street, "10.0.0.1", 1021.0 + 900) == "d3"


def test_a_person_approves_or_rejects_a_proposal(street: Street) -> None:
    assert accuse(street, "10.0.0.6") == []
    assert accuse(street, "10.0.0.7") != []
    assert [d.target for d in street.store.decisions("proposed")] == ["db1"]
    done = street.analysis.ask(Ask("approve", "d1", "ana"), 1500.0)
    assert done.ok
    (command,) = done.commands
    approved = command.decision
    assert (approved.state, approved.by, approved.ts) == ("active", "ana", 1500.0)
    assert "10.0.0.6" in street.detector.suspended
    assert street.analysis.ask(Ask("approve", "d1", "ana"), 1501.0).commands == ()
    assert not street.analysis.ask(Ask("reject", "d1", "ana"), 1502.0).ok
    assert not street.analysis.ask(Ask("approve", "d9", "ana"), 1502.0).ok
    assert [e.values()["by"] for e in street.audit.entries(kind="approved")] == ["ana"]


def test_a_rejected_proposal_is_not_carried_out(street: Street) -> None:
    accuse(street, "10.0.0.6")
    done = street.analysis.ask(Ask("reject", "d1", "ben"), 1500.0)
    assert (done.ok, done.commands) == (True, ())
    assert street.analysis.ask(Ask("reject", "d1", "ben"), 1501.0).ok
    assert not street.analysis.ask(Ask("approve", "d1", "ana"), 1502.0).ok
    assert not street.analysis.ask(Ask("release", "d1", "ana"), 1502.0).ok
    assert street.store.active_decisions(1502.0) == ()


def test_not_even_a_person_quarantines_what_is_protected_now(street: Street) -> None:
    accuse(street, "10.0.0.6")
    street.segments.protected = frozenset({"10.0.0.6"})
    street.use_policy(1400.0)
    done = street.analysis.ask(Ask("approve", "d1", "ana"), 1500.0)
    assert not done.ok
    assert "protected" in done.text


def test_an_old_proposal_ends_by_itself(street: Street) -> None:
    accuse(street, "10.0.0.6")
    assert street.analysis.tick(1001.0 + 900) == []
    assert [d.state for d in street.store.decisions()] == ["expired"]
    assert not street.analysis.ask(Ask("approve", "d1", "ana"), 2000.0).ok


def test_hold_stops_automatic_action_through_a_restart(street: Street) -> None:
    assert street.analysis.ask(Ask("hold", "", "ana"), 1000.0).ok
    street.reopen(1001.0)
    assert street.analysis.hold == "ana"
    assert accuse(street, "10.0.0.1") == []
    assert [d.state for d in street.store.decisions()] == ["proposed"]
    assert street.analysis.ask(Ask("resume", "", "ana"), 1002.0).ok
    assert street.analysis.ask(Ask("resume", "", "ana"), 1003.0).ok
    assert len(accuse(street, "10.0.0.2")) == 1
    assert [e.values()["on"] for e in street.audit.entries(kind="hold")] == [True, False]


def test_a_crash_after_the_commit_loses_and_doubles_nothing(street: Street) -> None:
    made = quarantined(street)
    accuse(street, "10.0.0.2", 1002.0)
    street.analysis.release("d2", "ana", 1003.0)
    street.reopen(1010.0)
    assert street.detector.suspended == set(WEB1)
    enforce, release = street.analysis.start(1010.0)
    assert isinstance(enforce, Enforce)
    assert isinstance(release, Release)
    assert (enforce.decision.id, release.decision.id) == (made, "d2")
    assert accuse(street, "10.0.0.1", 1010.5) == []
    assert len(street.store.decisions()) == 2
    rule = InstalledRule(1, 3, 77)
    street.analysis.step(RulesConfirmed(1012.0, made, (rule,)), 1012.0)
    street.reopen(1013.0)
    # What is in place is said again too: this process cannot know what the last one's words did.
    assert [type(c) for c in street.analysis.start(1013.0)] == [Enforce, Release]
    street.reopen(3000.0)
    (ended,) = street.analysis.start(3000.0)
    assert isinstance(ended, Release)
    street.reopen(3001.0)
    (again,) = street.analysis.start(3001.0)  # a switch confirmed it and never took it back
    assert again.decision.id == made
    street.analysis.step(RulesConfirmed(3002.0, made, (rule,), removed=True), 3002.0)
    street.reopen(3003.0)
    assert street.analysis.start(3003.0) == []
    assert street.store.active_decisions(3000.0) == ()


def test_a_discovered_host_is_quarantined_with_all_its_addresses(street: Street) -> None:
    mac = "00:00:00:00:00:99"
    street.segments.members["web"] |= {"10.0.0.50", "fd00::50"}
    street.use_policy(1000.0)
    bound = street.discover((mac, "10.0.0.50"), (mac, "fd00::50"))
    street.analysis.step(HostsChanged(tuple(bound)), 1000.5)
    (command,) = accuse(street, "fd00::50")
    assert command.decision.target == "10.0.0.50"
    assert command.decision.addresses == ("10.0.0.50", "fd00::50", STRANGER)


def test_a_quarantined_host_cannot_leave_by_taking_a_new_address(street: Street) -> None:
    mac = "00:00:00:00:00:99"
    street.segments.members["web"] |= {"10.0.0.50"}
    street.use_policy(1000.0)
    street.analysis.step(HostsChanged(tuple(street.discover((mac, "10.0.0.50")))), 1000.5)
    made = quarantined(street, "10.0.0.50")
    moved = street.discover((mac, "10.0.0.50"), (mac, "10.0.0.51"), (mac, "10.0.0.52"))
    street.segments.protected = frozenset({"10.0.0.52"})
    street.use_policy(1004.0)
    enforce, release = street.analysis.step(HostsChanged(tuple(moved)), 1005.0)
    assert isinstance(enforce, Enforce) and release.decision.id == made
    narrowed = enforce.decision
    assert (narrowed.supersedes, narrowed.scope, narrowed.expires) == (made, "host", 1901.0)
    assert narrowed.addresses == ("10.0.0.50", STRANGER, "10.0.0.51")
    (proposal,) = street.store.decisions("proposed")
    assert proposal.scope == "shared-port"
    assert not street.analysis.approve(proposal.id, "ana", 1005.5).ok, "52 is protected"
    assert street.analysis.step(HostsChanged(tuple(moved)), 1006.0) == []


def test_a_declared_host_does_not_inherit_a_strangers_quarantine(street: Street) -> None:
    mac = "00:00:00:00:00:99"
    street.segments.members["web"] |= {"10.0.0.50"}
    street.use_policy(1000.0)
    street.analysis.step(HostsChanged(tuple(street.discover((mac, "10.0.0.50")))), 1000.5)
    quarantined(street, "10.0.0.50")
    own = "00:00:00:00:00:02"
    taken = [replace(street.discover((own, "10.0.0.50"))[0], host="web2")]
    release, *rest = street.analysis.step(HostsChanged(tuple(taken)), 1005.0)
    (narrowed,) = [c.decision for c in (release, *rest) if isinstance(c, Enforce)]
    assert narrowed.addresses == (STRANGER,)
    assert narrowed.supersedes == "d1"
    ended = street.store.decision("d1")
    assert ended is not None
    assert (ended.state, ended.superseded_by) == ("released", narrowed.id)


def test_a_new_policy_releases_what_it_forbids(street: Street) -> None:
    made = quarantined(street)
    assert street.analysis.use_policy(street.policy(), 1002.0) == []
    street.segments.protected = frozenset({"10.0.0.1"})
    (command,) = street.analysis.use_policy(street.policy(), 1003.0)
    assert isinstance(command, Release)
    assert command.decision.id == made
    assert "protected" in command.reason
    assert street.detector.suspended == set()


def test_flows_are_kept_with_their_scores(street: Street) -> None:
    street.analysis.step(RecordsSeen((record(), record("10.0.0.3"))), 1000.0)
    assert street.store.flows() == ()
    street.analysis.tick(1000.5)
    found = [(stored.record.src_ip, stored.score) for _, stored in street.store.flows()]
    assert found == [("10.0.0.1", 0.5), ("10.0.0.3", 0.5)]


def test_floods_are_counted_not_written_one_by_one(street: Street) -> None:
    spoof = SpoofedPacket(1000.0, 1, 3, "00:00:00:00:00:66", "10.0.0.7", "not bound here")
    for _ in range(50):
        street.analysis.step(SpoofsSeen((spoof, replace(spoof, port=4))), 1000.0)
        street.analysis.step(RecordsSeen((), lost=2), 1000.0)
    street.analysis.tick(1009.0)
    assert street.kinds() == []
    street.analysis.tick(1010.0)
    street.analysis.tick(1030.0)
    lost, spoofed = street.audit.entries()
    assert lost.values()["records"] == 100
    assert spoofed.values()["packets"] == 100
    assert {(s["port"], s["count"]) for s in spoofed.values()["most"]} == {(3, 50), (4, 50)}


def test_switch_and_policy_events_are_in_the_record(street: Street) -> None:
    street.analysis.step(SwitchChanged(1000.0, 7, "reconciled", "2 missing"), 1000.0)
    street.analysis.step(PolicyApplied(1000.0, ("p.yaml",), "ab12"), 1000.0)
    switch, policy = (entry.values() for entry in street.audit.entries())
    assert switch == {"switch": 7, "what": "reconciled", "detail": "2 missing"}
    assert policy["digest"] == "ab12"


def test_what_was_learned_is_kept_from_time_to_time(street: Street) -> None:
    street.analysis.step(RecordsSeen((record(),) * 4), 1000.0)
    due = [street.analysis.snapshots.due(now) for now in (1299.0, 1300.0, 1300.25, 1600.0)]
    assert due == [False, True, False, True]
    street.analysis.finish(1700.0)
    assert street.store.latest_snapshot("detector") == (1700.0, b"rows 4")


def test_memory_is_bounded(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_module, "RECENT", 5)
    monkeypatch.setattr(responder, "MAX_PROPOSALS", 1)
    street.segments.adapt["web"] = Adapt.PROPOSE
    street.use_policy(1000.0)
    street.analysis.step(RecordsSeen((record(),) * 20), 1000.0)
    assert len(street.analysis._recent) == 5
    accuse(street, "10.0.0.1")
    accuse(street, "10.0.0.2")
    assert len(street.store.decisions()) == 1
    assert "proposals are waiting" in street.store.alerts()[-1].reason


def test_an_unknown_request_is_refused(street: Street) -> None:
    assert not street.analysis.ask(Ask("explode", "d1", "ana"), 1000.0).ok


@pytest.mark.threat("heartbeat")
def test_a_record_that_raises_costs_only_itself(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[str] = []
    street.analysis.note_fault = lambda place, error: faults.append(f"{place}: {error}")
    seen: list[float] = []
    step = street.detector.step

    def faulty(each: FlowRecord) -> Any:
        if each.ts == 1001.0:
            raise RuntimeError("odd")
        seen.append(each.ts)
        return step(each)

    monkeypatch.setattr(street.detector, "step", faulty)
    street.analysis.step(RecordsSeen(tuple(record(ts=1000.0 + n) for n in range(3))), 1003.0)
    assert (seen, faults) == ([1000.0, 1002.0], ["record: odd"])

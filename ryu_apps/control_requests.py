"""Requests to a running controller, answered: status, checks, counters, rules and rollouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from analysis.clock.steady import CLOCK, steady_time
from policies.rules.layout import name_number
from policies.rules.ovs_text import ovs_text
from response.asker import Peer
from response.decisions.hold import HOLD
from response.ipc.messages import StorageChanged
from response.state.interfaces import CHECKPOINTS_SENT, EXPORTERS, StateStore
from response.state.store import StoreError
from ryu_apps.connections.driving import SwitchConnections
from ryu_apps.core import Core
from ryu_apps.effects import Effect
from ryu_apps.enforcement.decision_state import DecisionState
from ryu_apps.enforcement.rollout import Rollout
from ryu_apps.ipc.analysis_inline import InlineAnalysis
from ryu_apps.ipc.analysis_link import AnalysisLink
from ryu_apps.ipc.control_socket import Request
from ryu_apps.ipc.outbox import lost_messages
from ryu_apps.network_requests import network_request
from ryu_apps.openflow.describe import rule_text
from ryu_apps.placement_status import down_ports, placement_status
from ryu_apps.policy_requests import asker_of, policy_request
from ryu_apps.proof_service import ProofService
from ryu_apps.runtime import LIBRARY, hub
from ryu_apps.supervision import Supervisor
from ryu_apps.switch.flow_counters import Carried
from ryu_apps.switch.listener import Listener
from ryu_apps.switch.session import Phase, Session
from ryu_apps.switch.table_reader import TIMEOUT as READING_TIMEOUT
from ryu_apps.telemetry.conntrack_exhaustion import DeniedByFullTable

CHECK_PAUSE = 0.01
JUST_BEFORE = 3.0  # seconds


class RunningController(Protocol):
    """What requests are about: a controller at work."""

    core: Core
    store: StateStore
    link: AnalysisLink | InlineAnalysis | None
    listener: Listener
    connections: SwitchConnections
    supervisor: Supervisor
    storage_problem: str | None
    analysis_storage: StorageChanged | None
    rollout: Rollout
    proof: ProofService
    own_addresses: tuple[str, ...]

    @property
    def unsaved(self) -> list[str]: ...

    def carry_out(self, effects: Iterable[Effect]) -> None: ...


def handle(app: RunningController, request: Request, peer: Peer) -> dict[str, Any]:
    """Answer ``status``, ``check``, ``prove``, ``traffic``, ``rules`` (of one switch), or one of
    `network_request` or `policy_request`."""
    what = request["do"]
    if what == "status":
        return {"ok": True, **status(app)}
    if what == "check":
        return {"ok": True, "switches": check(app)}
    if what == "prove":
        return {"ok": True, "switches": check(app), "proof": app.proof.gate.in_force(steady_time())}
    if what == "traffic":
        return {"ok": True, "switches": traffic(app)}
    if what == "rules":
        session = app.core.sessions[int(request["switch"])]
        rules = app.core.reconciler.rules(session, steady_time())
        return {"ok": True, "rules": [ovs_text(rule) for rule in rules]}
    if what in ("release", "take", "forget"):
        return network_request(app.core, app.carry_out, request, asker_of(request, peer))
    if what in ("stage", "apply", "confirm", "rollback"):
        return policy_request(app.rollout, app.proof.gate, request, peer)
    return {"ok": False, "error": f"unknown request {what!r}"}


def check(app: RunningController) -> list[dict[str, Any]]:
    """Read every connected switch now and compare it with the policy; waits for the answers."""
    asked = steady_time()
    app.carry_out(app.core.check(asked))
    _wait_for(app, asked, lambda session: None if (c := session.checked) is None else c.at)
    released = app.core.admission.released
    return [
        {"switch": switch, "state": "released", "failure": session.problem}
        if switch in released
        else _checked(session, asked)
        for switch, session in sorted(dict(app.core.sessions).items())
    ]


def _wait_for(app: RunningController, asked: float, at: Callable[[Session], float | None]) -> None:
    """Until every ready switch has answered since ``asked``, or is late."""
    while steady_time() - asked < READING_TIMEOUT + 1:
        ready = [s for s in app.core.sessions.values() if s.phase is Phase.READY]
        if all((answered := at(session)) is not None and answered >= asked for session in ready):
            return
        hub.sleep(CHECK_PAUSE)


def traffic(app: RunningController) -> list[dict[str, Any]]:
    """What each switch's rules have carried; waits for the answers."""
    asked = steady_time()
    app.carry_out(app.core.read_counters())
    _wait_for(app, asked, lambda session: session.flow_counters.at)
    names, held = app.core.intent_names(), app.core.desired_state.decision_state
    return [
        traffic_of(session, names, asked, held)
        for _, session in sorted(dict(app.core.sessions).items())
    ]


def traffic_of(
    session: Session, names: Mapping[int, str], asked: float, held: DecisionState
) -> dict[str, Any]:
    """One switch's counters, by intent, decision and feed: also of those that nothing has used.
    Decisions and feeds count what they marked, which a higher tier may have let pass."""
    found = session.flow_counters
    if session.phase is not Phase.READY or found.at is None or found.at < asked:
        late = session.phase is Phase.READY
        return {
            "switch": session.switch,
            "failure": "no answer in time" if late else "not ready yet",
        }

    def data(carried: Carried) -> dict[str, int]:
        return {"packets": carried.packets, "bytes": carried.octets}

    tally = found.tally
    return {
        "switch": session.switch,
        "failure": None,
        "intents": {
            name: data(tally.intents.get(number, Carried()))
            for number, name in sorted(names.items(), key=lambda each: each[1])
        },
        "default": data(tally.default),
        "decisions": {
            each.id: data(tally.decisions.get(each.number, Carried()))
            for each in held.decisions.values()
        },
        "feeds": {
            name: data(tally.feeds.get(name_number(name), Carried())) for name in sorted(held.feeds)
        },
        "connections": {"counted": tally.connections.rules, **data(tally.connections)},
    }


def _checked(session: Session, asked: float) -> dict[str, Any]:
    """One switch's comparison. Drift that was repaired just before the request counts too:
    a check right after a change of one's own must not report that there was none."""
    answer: dict[str, Any] = {"switch": session.switch, "state": "right", "failure": None}
    checked, repaired = session.checked, None
    if session.phase is not Phase.READY or checked is None or checked.at < asked:
        failure = "no answer in time" if session.phase is Phase.READY else "not ready yet"
        failure = session.problem if session.phase is Phase.STANDBY else failure
        return {**answer, "state": "unread", "failure": failure}
    if checked.failure:
        return {**answer, "state": "unread", "failure": checked.failure}
    drifted = session.drifted
    if checked.right and drifted is not None and asked - drifted.at < JUST_BEFORE:
        checked, repaired = drifted, round(asked - drifted.at, 1)
    difference = checked.difference
    return {
        **answer,
        "state": "right" if checked.right else "drift",
        "repaired_seconds_ago": repaired,
        "right": difference.proper,
        "missing": [rule_text(rule) for rule in difference.missing],
        "extra": [rule_text(rule) for rule in difference.excess],
        "altered": [rule_text(rule) for rule in difference.altered],
        "meters": list(checked.meters),
    }


def _full(denials: DeniedByFullTable | None) -> dict[str, Any] | None:
    """A connection table that is full, or was within the last minute."""
    if denials is None or not denials.full:
        return None
    return {"denied": denials.count, "latest": denials.latest}


def storage_status(app: RunningController) -> dict[str, Any]:
    """Who put automatic action on hold, what exporters have sent, where checkpoints went, and what
    the store does not take of this process."""
    problem, hold, exporters, sent = app.storage_problem, None, None, None
    try:
        hold, exporters = app.store.meta(HOLD), app.store.meta(EXPORTERS)
        sent = app.store.meta(CHECKPOINTS_SENT)
    except StoreError as error:
        problem = problem or str(error)
    return {
        "hold": hold,
        "exporters": json.loads(exporters or "null"),
        "checkpoints_sent": json.loads(sent or "{}"),
        "storage": {"problem": problem, "waiting": app.unsaved},
    }


def analysis_storage(report: StorageChanged | None) -> dict[str, Any]:
    """What the store does not take of the analysis; nothing was heard of where it does."""
    if report is None:
        return {"problem": None, "not_stored": {}}
    return {"problem": report.problem, "not_stored": report.not_stored}


def status(app: RunningController) -> dict[str, Any]:
    core: Core = app.core
    state, packet_in = core.desired_state.policy_state, core.packet_in
    network, denials = core.network, packet_in.conntrack_exhaustion.denials
    trackers = packet_in.flow_tracker, packet_in.flow_tracker.tcp_tracker
    link, refused = app.link, app.listener.refused
    return {
        "policy": {
            "name": state.policy.name,
            "files": state.files,
            "digest": state.digest,
            "version": state.version,
            "rollout": app.rollout.standing(),
        },
        "proof": app.proof.status(),
        "switches": [
            {
                "switch": session.switch,
                "phase": session.phase.value,
                "kind": session.profile.target.value,
                "description": session.profile.description,
                "limits": list(session.profile.limits),
                "problem": session.problem,
                "ports": sorted(session.ports),
                "refused_rules": session.left_out.texts(),
                "odd_ports": list(session.reported.texts()),
                "down": sorted(down_ports(core, session.switch)),
                "trunks": sorted(network.fabric.trunks(session.switch)),
                "rules": len(session.installed),
                "flow_mods": session.counters.flow_mods,
                "bundles": session.counters.bundles,
                "failures": session.counters.failures,
                "difference": session.last_difference,
                "checks": session.counters.checks,
                "drifts": session.counters.drifts,
                "unread": session.counters.unread,
                "watched": session.foreign.watched,
                "foreign_reports": session.foreign.noticed,
                "last_check": None if session.checked is None else session.checked.summary(),
                "last_drift": None if session.drifted is None else session.drifted.summary(),
                "late_replies": session.transactions.late,
                "counted_connections": session.telemetry_loss.counting,
                "table_full": _full(denials.get(session.switch)),
            }
            for _, session in sorted(core.sessions.items())
        ],
        "hosts": [
            {"mac": each.mac, "ip": each.ip, "switch": each.switch, "port": each.port}
            | {"known": "found" if (each.mac, each.ip) in network.hosts.discovered else "declared"}
            | ({"host": each.host} if each.host else {})
            for each in network.hosts.bindings()
        ],
        **placement_status(core),
        "fabric": {
            "spoofed_packets": core.hosts.spoofed + core.links.counters.spoofed,
            "undeclared_ports_up": core.links.counters.undeclared_ports,
            "new_trunks": core.links.counters.new_trunks,
            "refused_links": core.links.counters.refused_links,
        },
        "released": {str(switch): by for switch, by in sorted(core.admission.released.items())},
        "own_addresses": list(app.own_addresses),
        "library": LIBRARY,
        "loops": app.supervisor.faults.status(),
        "clock": {"system_ahead": round(CLOCK.system_ahead(), 3)},
        "problem": core.desired_state.problem,
        "decisions": sorted(core.desired_state.decision_state.decisions),
        **storage_status(app),
        "lost": {
            "records": 0 if link is None else link.outbox.lost_in_all,
            **({} if link is None else lost_messages(link.outbox)),
            "messages_too_large": 0 if link is None else link.outbox.too_large,
            "copies_held_back_by_meters": sum(
                session.telemetry_loss.total for session in core.sessions.values()
            ),
            "connections_held_back_by_meters": sum(
                session.telemetry_loss.connections for session in core.sessions.values()
            ),
            "switches_that_count_no_more": sum(
                session.telemetry_loss.full for session in core.sessions.values()
            ),
            "connections_denied_by_full_tables": packet_in.conntrack_exhaustion.total,
            "starts_forgotten": sum(tracker.forgotten for tracker in trackers),
            "stragglers": packet_in.flow_tracker.stragglers,
            "malformed_messages": core.malformed,
            "unreadable_frames": packet_in.unreadable_frames,
            "forged_lldp": core.links.counters.forged,
            "stale_lldp": core.links.counters.stale,
            "connections_refused": refused.too_many
            + refused.no_handshake
            + refused.tls
            + app.connections.refused,
            "messages_not_understood": refused.malformed,
            "rules_refused": sum(len(each.left_out.rules) for each in core.sessions.values()),
            "faults": app.supervisor.faults.total,
        },
        "analysis": None
        if link is None
        else {
            **link.status(),
            "storage": analysis_storage(app.analysis_storage),
        },
    }

"""The controller's core: events of switches in, effects out, independent of the OpenFlow library.

It keeps every switch equal to the compiled policy, sends what was observed to the
analysis, and carries out the analysis's decisions. Every method takes ``now`` (seconds
since the epoch) and returns the effects in the order in which they must be carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from policies.compiler.targets import SwitchTarget
from policies.feed_block import FeedBlock
from policies.model import Policy
from policies.rules import layout
from policies.rules.layout import Category, category_of, number_of
from policies.semantics.retained_intents import RetainedIntents
from response.decision import Decision
from response.ipc.messages import (
    HostsChanged,
    Message,
    PolicyApplied,
    PolicyConfirmed,
    SwitchChanged,
)
from ryu_apps.effects import Effect, Fault, Log, Report, Save, Send
from ryu_apps.enforcement.decisions import DecisionSender
from ryu_apps.enforcement.desired_state import DesiredState
from ryu_apps.enforcement.policy_state import PolicyState
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.enforcement.release import SwitchReleases
from ryu_apps.enforcement.switch_lifecycle import SwitchLifecycle
from ryu_apps.fabric.dhcp_snooping import DhcpSnooping
from ryu_apps.fabric.host_discovery import HostDiscovery
from ryu_apps.fabric.link_discovery import LinkDiscovery
from ryu_apps.fabric.link_state import LinkWatch
from ryu_apps.fabric.network_state import NetworkChange, NetworkState
from ryu_apps.openflow import decode
from ryu_apps.openflow.messages import EXPERIMENTER
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.admission import Admission, odd_ports
from ryu_apps.switch.roles import ROLE_REPLY
from ryu_apps.switch.session import Phase, Session
from ryu_apps.telemetry.adaptive_decider import AdaptiveDecider
from ryu_apps.telemetry.flow_tracker import FlowTracker
from ryu_apps.telemetry.packet_in import PacketInHandler
from topology.fabric import cable_of
from topology.records import Binding, Link

ERROR, PACKET_IN, FLOW_REMOVED, MULTIPART, BARRIER = 1, 10, 11, 19, 21
EXPIRY_CHECK = 60.0  # seconds: how often intents' ends are checked


class Core:
    """``secret`` signs link discovery frames; ``files`` and ``version`` name the policy."""

    def __init__(
        self,
        policy: Policy,
        secret: bytes,
        files: tuple[str, ...] = (),
        admission: Admission | None = None,
        version: int = 0,
    ) -> None:
        network = self.network = NetworkState()
        self.sessions: dict[int, Session] = {}
        self.admission = admission or Admission()
        self.desired_state = DesiredState(network, PolicyState.of(policy, files, version))
        self.reconciler = Reconciler(self.desired_state, self.admission.owner, self.sessions)
        self.decisions = DecisionSender(self.reconciler)
        self.hosts = HostDiscovery(network, self._can_probe, self.reconciler.views)
        watch = LinkWatch(frozenset(map(cable_of, self.admission.settings.links)))
        self.links = LinkDiscovery(network, secret, self.hosts.mobility, self._can_probe, watch)
        held = self.desired_state.decision_state
        decider = AdaptiveDecider(lambda: held.decisions.values(), lambda: held.feeds)
        clients = DhcpSnooping(self.hosts, lambda: self.desired_state.policy.hosts)
        self.packet_in = PacketInHandler(
            self.links, self.hosts, clients, self.intent_names, FlowTracker(decider)
        )
        self.releases = SwitchReleases(self.reconciler, self.admission)
        self.lifecycle = SwitchLifecycle(self.admission, self.reconciler, self.links, self.releases)
        self.malformed = 0  # messages of switches that could not be read
        self._next_expiry_check = 0.0
        self._saved_retained = RetainedIntents()

    def _can_probe(self, switch: int) -> bool:
        """Whether a switch is there to pass probes on and answers back."""
        session = self.sessions.get(switch)
        if session is None or session.phase is not Phase.READY:
            return False
        return session.profile.target is SwitchTarget.STATEFUL

    def intent_names(self) -> Mapping[int, str]:
        """Names of intents by number, retained ones included."""
        return self.desired_state.policy_state.intent_names

    # -- starting and policies ------------------------------------------------

    def start(
        self,
        bindings: Iterable[Binding],
        links: Iterable[Link],
        decisions: Iterable[Decision],
        feeds: Iterable[FeedBlock] = (),
        retained: RetainedIntents | None = None,
    ) -> None:
        """Restore the state of an earlier run."""
        self.desired_state.restore(bindings, self.links.possible(links), decisions, feeds, retained)

    def greeting(self, now: float) -> list[Message]:
        """What an analysis that just started must receive before anything else."""
        state = self.desired_state.policy_state
        return [
            PolicyApplied(now, state.files, state.digest, version=state.version),
            HostsChanged(self.network.hosts.bindings()),
        ]

    def apply_policy(
        self, policy: Policy, files: tuple[str, ...], now: float, version: int = 0
    ) -> list[Effect]:
        """Put another policy in force, as a difference, on every ready switch.

        ``version`` is its number among those stored. Raises CompileError, and changes nothing,
        when it does not fit.
        """
        update = self.desired_state.replace_policy(
            policy, files, version, now, lambda: self.reconciler.check_room(now)
        )
        switches = tuple(sorted(session.switch for session in self.reconciler.ready()))
        realised = Report(PolicyConfirmed(version, switches))
        return [
            *self._save_retained(),
            *(Report(message) for message in self.greeting(now)),
            *self.reconciler.bring_all(update, now, lambda at: [realised]),
        ]

    def _save_retained(self) -> list[Effect]:
        """Save the retained intents for a restart, where they have changed."""
        retained = self.desired_state.policy_state.retained
        if retained == self._saved_retained:
            return []
        self._saved_retained = retained
        return [Save(retained=retained)]

    # -- switches -------------------------------------------------------------

    def switch_up(
        self, switch: int, reported: ReportedPorts, now: float, tables: int = 254
    ) -> list[Effect]:
        """A switch finished its handshake."""
        zone = layout.zone_of(switch)
        clash = [each for each in self.sessions if each != switch and layout.zone_of(each) == zone]
        session = Session(switch, reported, tables)
        session.expected = self.desired_state.decision_state.listed_rules
        self.sessions[switch] = session
        self.network.hosts.links_of(switch, session.ports, reported.down)
        effects: list[Effect] = [
            Log(logging.INFO, f"switch {switch} connected with {len(session.ports)} ports"),
            Report(SwitchChanged(now, switch, "connected", f"{len(session.ports)} ports")),
            *odd_ports(session, reported.texts(), now),
        ]
        if clash:
            text = (
                f"switches {switch} and {clash[0]} fold to one connection-tracking zone: "
                "on one Open vSwitch give one of them another datapath id"
            )
            effects.append(Log(logging.WARNING, text))
        return effects + self.admission.welcome(session, now)

    def switch_down(self, switch: int, now: float) -> list[Effect]:
        if self.sessions.pop(switch, None) is None:
            return []
        self.network.switch_disconnected(switch)
        return [
            *self.reconciler.reroute(now),
            Log(logging.WARNING, f"switch {switch} disconnected; its rules stay in force"),
            Report(SwitchChanged(now, switch, "disconnected", "its rules stay in force")),
        ]

    def port_changed(
        self, switch: int, port: int, mac: bytes | None, up: bool, now: float
    ) -> list[Effect]:
        """A port appeared, changed or (``mac`` None) went away."""
        session = self.sessions.get(switch)
        if session is None:
            return []
        known = len(session.reported.problems)
        change = self.links.port_changed(session, port, mac, up, now)
        new = session.reported.texts()[known:]
        effects = [*odd_ports(session, new, now), *self._follow(change, now)]
        return effects + (self.links.announce(session, now) if port in session.ports else [])

    def _follow(self, change: NetworkChange, now: float) -> list[Effect]:
        """What a change of the network changes on the switches."""
        if change.hosts_changed:
            rules = self.reconciler.reconcile_all(now, change.afterwards)
        elif change.links_changed:
            rules = self.reconciler.reroute(now)
        else:
            rules = []
        return [*change.effects, *rules]

    # -- messages -------------------------------------------------------------

    def message(self, switch: int, kind: int, xid: int, buf: bytes, now: float) -> list[Effect]:
        """One OpenFlow message, whole; a malformed one is counted and dropped."""
        session = self.sessions.get(switch)
        if session is None:
            return []
        try:
            return self._message(session, kind, xid, buf, now)
        except decode.Malformed as error:
            self.malformed += 1
            if self.malformed & self.malformed - 1:
                return []  # logged at the first, second, fourth, … so that a log does not fill up
            text = f"switch {switch} sent malformed messages, {self.malformed} by now: {error}"
            return [Log(logging.WARNING, text)]

    def _message(
        self, session: Session, kind: int, xid: int, buf: bytes, now: float
    ) -> list[Effect]:
        if kind == PACKET_IN and session.phase is not Phase.STANDBY:
            change = self.packet_in.packet(session, decode.packet_in(buf), now)
            return self._follow(change, now)
        if kind == FLOW_REMOVED:
            return self._flow_removed(session, decode.flow_removed(buf), now)
        if kind == BARRIER:
            return self.lifecycle.barrier(session, xid, now)
        if kind == ROLE_REPLY:
            return self.lifecycle.role_reply(session, xid, buf)
        if kind == EXPERIMENTER:
            return self.lifecycle.experimenter(session, buf, now)
        if kind == ERROR:
            return self.lifecycle.error(session, xid, buf, now)
        if kind == MULTIPART:
            lost = session.telemetry_loss.total
            effects = self.lifecycle.multipart(session, xid, buf, now)
            if session.telemetry_loss.total > lost:
                self.packet_in.flow_tracker.tcp_tracker.copies_lost(now)
            return effects
        return []

    def _flow_removed(
        self, session: Session, removed: decode.FlowRemoved, now: float
    ) -> list[Effect]:
        category = category_of(removed.cookie)
        if category == Category.COUNT:
            self.packet_in.flow_ended(session.switch, removed, now)
            return []
        session.flow_removed(removed)
        if category != Category.RETAINED or session.phase is Phase.STANDBY:
            return []
        # A retained intent's rule ended for want of traffic; the last one takes the intent along.
        for each in self.sessions.values():
            if any(rule.cookie == removed.cookie for rule in each.installed.values()):
                return []
        self.desired_state.release_intent(number_of(removed.cookie))
        return self.reconciler.reconcile_all(now)

    def forget_host(self, wanted: str, by: str, now: float) -> list[Effect]:
        """Forget a discovered host, by MAC, address or name. Raises ValueError."""
        return self._follow(self.hosts.forget(wanted, by, now), now)

    def check(self, now: float) -> list[Effect]:
        """Compare every ready switch with the policy itself, into `Session.checked`."""
        ready = self.reconciler.ready()
        return [effect for session in ready for effect in session.check(now, thorough=True)]

    def read_counters(self) -> list[Effect]:
        """Ask every ready switch for its counters, into `Session.flow_counters`."""
        ready = self.reconciler.ready()
        return [
            Send(session.switch, session.flow_counters.ask(len(session.installed)))
            for session in ready
        ]

    def collected(self) -> list[Effect]:
        """Connections seen since the last call; call when no more messages are at hand."""
        return self.packet_in.collected()

    # -- time -----------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Process everything that is due; call a few times a second."""
        effects = self.reconciler.settled(now)
        for session in list(self.sessions.values()):
            effects += self._each(session, lambda s: self.lifecycle.tick(s, now))
        ready = {session.switch for session in self.reconciler.ready()}
        effects += self._follow(self.links.expire(ready, now), now)
        effects += self.packet_in.expire(now)
        effects += self._follow(self.hosts.settle_moves(now), now)
        effects += self.decisions.end_expired(now)
        effects += self.decisions.send_listed(now)
        if now >= self._next_expiry_check:
            effects += self._expire_intents(now)
        return effects + self._save_retained()

    def look_around(self, now: float) -> list[Effect]:
        """Ask every ready switch what nobody reports unasked; call every few seconds."""
        ready = self.reconciler.ready()
        return [
            effect
            for session in ready
            for effect in self._each(session, lambda s: self.lifecycle.look_around(s, now))
        ]

    def _each(self, session: Session, what: Callable[[Session], list[Effect]]) -> list[Effect]:
        """What is due for one switch; a fault there costs no other switch its turn."""
        try:
            return what(session)
        except Exception as error:
            return [Fault("turn of a switch", error)]

    def _expire_intents(self, now: float) -> list[Effect]:
        """Give intents near their end a timer on the switch, and remove ended ones."""
        self._next_expiry_check = now + EXPIRY_CHECK
        if all(intent.expires is None for intent in self.desired_state.policy.intents):
            return []
        return self.reconciler.reconcile_all(now)

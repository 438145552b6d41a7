"""The Ryu application: turns events into calls of `Core`, and carries out the effects."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.clock.steady import steady_time
from policies.semantics import retained_intents
from response.ipc.messages import Message, OwnAddresses, Ready, Reply, StorageChanged
from response.state.interfaces import StateStore
from response.state.policy_versions import Versions
from response.state.store import StoreError
from ryu_apps.clock_watch import ClockWatch
from ryu_apps.connections.driving import ECHO_REPLY, SwitchConnections
from ryu_apps.connections.identity import DatapathIdentity
from ryu_apps.connections.outgoing import Outgoing
from ryu_apps.control_requests import handle
from ryu_apps.core import BARRIER, ERROR, FLOW_REMOVED, MULTIPART, PACKET_IN, Core
from ryu_apps.effects import Effect, Fault, Log, Report, Save, Send
from ryu_apps.enforcement import release
from ryu_apps.enforcement.rollout import Rollout
from ryu_apps.fabric.switch_addresses import SwitchAddresses
from ryu_apps.ipc.analysis_inline import InlineAnalysis
from ryu_apps.ipc.analysis_link import AnalysisLink
from ryu_apps.ipc.control_socket import ControlServer
from ryu_apps.openflow.messages import EXPERIMENTER
from ryu_apps.placement_status import awaited, switches_are_there
from ryu_apps.proof_service import ProofService
from ryu_apps.ready_file import ReadyFile
from ryu_apps.runtime import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    Application,
    hub,
    ofp_event,
    ofproto_v1_3,
    set_ev_cls,
)
from ryu_apps.supervision import Supervisor
from ryu_apps.switch.listener import Listener
from ryu_apps.switch.roles import ROLE_REPLY
from topology.gc_tuning import collect_rarely

LOG = logging.getLogger("septum")
TICK = 0.05  # seconds
LOOK_AROUND_EVERY = 3.0
SAVE_AGAIN = 1.0
PATIENCE = 5.0  # seconds until the log says what the controller waits for
PORT_DESCRIPTION = 13  # the one multipart answer that the library's handshake needs
OURS = (PACKET_IN, FLOW_REMOVED, BARRIER, ERROR, ROLE_REPLY, EXPERIMENTER)
Greeting = Callable[[], list[Message]]
ReplyReceived = Callable[[Reply], None]
LinkOf = Callable[[Greeting, ReplyReceived, Supervisor], AnalysisLink | InlineAnalysis]


@dataclass(frozen=True, slots=True)
class AppSettings:
    """``link_of`` makes the link to the analysis from the messages that greet it and a function
    that takes its replies; None runs without one (forwarding and policy only)."""

    state: Path
    link_of: LinkOf | None
    ready_file: ReadyFile | None = None
    listed_only: bool = False  # connect only switches that the switches file lists
    expect_switches: int | None = None  # None: one that the policy names
    prove: bool = True  # what is in force, and policies before they are


def _has_no_link(port: Any) -> bool:
    down = port.state & ofproto_v1_3.OFPPS_LINK_DOWN or port.config & ofproto_v1_3.OFPPC_PORT_DOWN
    return bool(down)


class SeptumApp(Application):  # type: ignore[misc]
    """Carries values between Ryu, the core, the store and the analysis."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, core: Core, store: StateStore, settings: AppSettings) -> None:
        super().__init__()
        self.core = core
        self.store = store
        self.settings = settings
        self.outgoing: dict[int, Outgoing] = {}
        self.addresses = SwitchAddresses()
        self.own_addresses: tuple[str, ...] = ()  # as the analysis knows them
        self.supervisor = Supervisor()
        self.clock_watch = ClockWatch(settings.state)
        self.link: AnalysisLink | InlineAnalysis | None = None
        if settings.link_of is not None:
            self.link = settings.link_of(self._greeting, self._reply_received, self.supervisor)
        self.rollout = Rollout(core.apply_policy, Versions(settings.state), self.carry_out)
        self.proof = ProofService(settings.state, settings.prove, core.reconciler, self.carry_out)
        self.control = ControlServer(settings.state, partial(handle, self), self.supervisor)
        self._announced_ready = False
        self._looked, self._started = 0.0, steady_time()
        self.storage_problem: str | None = None  # why the store takes nothing
        self.analysis_storage: StorageChanged | None = None
        self._unsaved: dict[str, Callable[[], None]] = {}
        self._save_at = 0.0
        self.listener = Listener(self._tap, self._send_collected, self.supervisor)
        rules = DatapathIdentity(core.admission.settings, settings.listed_only)
        self.connections = SwitchConnections(self, rules)

    def start(self) -> None:
        super().start()
        self.supervisor.watch_library()
        now = steady_time()
        store = self.store
        self.core.admission.released.update(release.read(store.meta(release.STORED_AS)))
        self.core.start(
            store.bindings(),
            store.links(),
            store.active_decisions(now),
            tuple(listed.block for listed in store.feed_blocks()),
            self._retained_before(),
        )
        self.core.desired_state.prepare(now)
        collect_rarely()
        if self.link is not None:
            self.threads.append(self.supervisor.loop("analysis link", self.link.serve))
        self.threads.append(self.supervisor.loop("clock", self._clock))
        self.threads.append(self.supervisor.loop("control socket", self.control.serve))
        self.threads.append(self.supervisor.loop("proofs", self.proof.serve))

    def _retained_before(self) -> retained_intents.RetainedIntents:
        try:
            return retained_intents.read(self.store.meta(retained_intents.STORED_AS))
        except ValueError as error:
            LOG.error("the retained intents of the last run are lost: %s", error)
            return retained_intents.RetainedIntents()

    def shut_down(self) -> None:
        """Stop; switches keep their rules, and the analysis ends when its socket closes."""
        self.control.close()
        if self.link is not None:
            self.link.close()
        for thread in self.threads:
            hub.kill(thread)
        self.proof.close()

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(switch, data):
                    if (outgoing := self.outgoing.get(switch)) is not None:
                        outgoing.send(data)
                case Report(message):
                    if self.link is not None:
                        self.link.send(message)
                case Save(bindings, links, retained, released):
                    if bindings is not None:
                        self._unsaved["bindings"] = partial(self.store.save_bindings, bindings)
                    if links is not None:
                        self._unsaved["links"] = partial(self.store.save_links, links)
                    if retained is not None:
                        key, text = retained_intents.STORED_AS, retained_intents.written(retained)
                        self._unsaved[key] = partial(self.store.set_meta, key, text)
                    if released is not None:
                        key, text = release.STORED_AS, release.written(released)
                        self._unsaved[key] = partial(self.store.set_meta, key, text)
                    self._save()
                case Fault(place, error):
                    self.supervisor.faults.note(place, error)
                case Log(level, text):
                    LOG.log(level, "%s", text)

    @property
    def unsaved(self) -> list[str]:
        """What a restart would not know."""
        return sorted(self._unsaved)

    def _save(self) -> None:
        """Save what a restart must know; a store that is busy or full is tried again."""
        for what, save in list(self._unsaved.items()):
            try:
                save()
            except StoreError as error:
                if self.storage_problem is None:
                    LOG.error("%s cannot be saved yet, nor what comes: %s", what, error)
                self.storage_problem = str(error)
                self._save_at = time.monotonic() + SAVE_AGAIN
                return
            del self._unsaved[what]
        if self.storage_problem is not None:
            LOG.warning("there is room in the store again; everything is saved")
            self.storage_problem = None

    # -- Ryu's events ---------------------------------------------------------

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def switch_state(self, event: Any) -> None:
        datapath = event.datapath
        if datapath.id is None:
            return
        with self.supervisor.surviving("switch event"):
            if event.state == MAIN_DISPATCHER:
                datapath.handshake_done()
                self.connections.arrived(datapath, time.monotonic(), steady_time())
            else:
                self.connections.left(datapath)

    def drive(self, peer: Any) -> None:
        """Bring a switch to its rules over a connection."""
        self.outgoing[peer.id] = Outgoing(peer, self.supervisor)
        self.carry_out(self.core.switch_up(peer.id, peer.reported, steady_time(), peer.tables))
        self.addresses.connected(peer.id, peer.address[0])

    def stop_driving(self, switch: int) -> None:
        """The connection that drove a switch is gone."""
        del self.outgoing[switch]
        self.addresses.left(switch, time.monotonic())
        self.carry_out(self.core.switch_down(switch, steady_time()))

    def _follow_addresses(self) -> None:
        """Report where our switches connect from, as that changes."""
        ready = [session.switch for session in self.core.reconciler.ready()]
        own = self.addresses.current(ready, time.monotonic())
        if own != self.own_addresses:
            self.own_addresses = own
            self.carry_out([Report(OwnAddresses(own))])

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def port_status(self, event: Any) -> None:
        message = event.msg
        if not self.connections.drives(message.datapath):
            return
        port = message.desc
        gone = message.reason == ofproto_v1_3.OFPPR_DELETE
        mac = None if gone else bytes.fromhex(port.hw_addr.replace(":", ""))
        up = not (gone or _has_no_link(port))
        with self.supervisor.surviving("switch event"):
            now = steady_time()
            self.carry_out(self.core.port_changed(message.datapath.id, port.port_no, mac, up, now))

    def _tap(self, datapath: Any, kind: int, xid: int, buf: bytes) -> bool:
        """Messages the core reads from bytes; True when Ryu need not parse them."""
        if datapath.id is None or datapath.state != MAIN_DISPATCHER:
            return False
        if kind == ECHO_REPLY:
            return self.connections.echoed(datapath, buf[8:], steady_time())
        if not self.connections.drives(datapath):
            return kind in OURS  # a second connection, or one that was given up
        if kind == MULTIPART:
            if int.from_bytes(buf[8:10], "big") == PORT_DESCRIPTION:
                return False
        elif kind not in OURS:
            return False
        # A fault of ours must not cost the switch its controller.
        with self.supervisor.surviving(f"switch message of type {kind}"):
            self.carry_out(self.core.message(datapath.id, kind, xid, buf, steady_time()))
        return True

    def _send_collected(self) -> None:
        self.carry_out(self.core.collected())

    # -- the analysis ---------------------------------------------------------

    def _greeting(self) -> list[Message]:
        """The first messages for an analysis that just started."""
        own = OwnAddresses(self.own_addresses)
        return [*self.core.greeting(steady_time()), own, self.rollout.events()]

    def _reply_received(self, message: Reply) -> None:
        if isinstance(message, StorageChanged):
            self.analysis_storage = message
        elif isinstance(message, Ready):
            self.analysis_storage = None
        else:
            with self.supervisor.surviving("order of the analysis"):
                self.carry_out(self.core.decisions.order(message, steady_time()))

    # -- time -----------------------------------------------------------------

    def _clock(self) -> None:
        """Do what is due; a step that raises keeps no other one from its turn."""
        steps = (
            lambda: self.carry_out(self.core.tick(steady_time())),
            lambda: self.rollout.tick(steady_time()),
            self._follow_addresses,
            lambda: self.connections.tick(time.monotonic()),
            self._look_around,
            self.clock_watch.tick,
            self._save_again,
            self._announce,
        )
        while True:
            self.supervisor.rounds("clock", steps)
            hub.sleep(TICK)

    def _look_around(self) -> None:
        now = steady_time()
        if now - self._looked >= LOOK_AROUND_EVERY:
            self._looked = now
            self.carry_out(self.core.look_around(now))

    def _save_again(self) -> None:
        if self._unsaved and time.monotonic() >= self._save_at:
            self._save()

    def _announce(self) -> None:
        """Print ``ready`` once it is, or after a while what it waits for."""
        if self._announced_ready:
            return
        if self._is_ready():
            self._announced_ready = True
            print("ready", flush=True)
            if self.settings.ready_file is not None:
                self.settings.ready_file.write()
        elif self._started and steady_time() - self._started > PATIENCE:
            self._started = 0.0
            LOG.warning(awaited(self.core, self.settings.expect_switches))

    def _is_ready(self) -> bool:
        """Whether the expected switches have confirmed their rules, the analysis is ready, and no
        loop keeps failing."""
        there = switches_are_there(self.core, self.settings.expect_switches)
        analysis = self.link is None or self.link.ready
        return there and analysis and not self.supervisor.failing

"""Cables between switches: found by signed frames out of every port, gone with their ports or when
they fall silent; either way the ways are led around."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from policies.compiler import CompileError
from policies.compiler.stateful.base import link_discovery_rules
from policies.compiler.targets import SwitchTarget
from policies.rules.rule import Field, Rule
from ryu_apps.effects import Effect, Log, Remember, Send
from ryu_apps.enforcement.desired_state import DesiredState
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.fabric import host_probes as discovery
from ryu_apps.fabric.link_state import LINK_TIMEOUT
from ryu_apps.openflow import ethernet
from ryu_apps.switch.session import Session
from ryu_apps.telemetry.packet_in import PacketInHandler
from topology.fabric import cable_of

LLDP = Field("eth_type", ethernet.ETH_LLDP)


@dataclass(slots=True)
class Cabling:
    desired: DesiredState
    watcher: PacketInHandler
    upkeep: Reconciler

    def port_changed(
        self, session: Session, port: int, mac: bytes | None, up: bool, now: float
    ) -> list[Effect]:
        """A port appeared, changed or (``mac`` None) went away."""
        known = dict(session.ports)
        if mac is None:
            session.ports.pop(port, None)
        else:
            session.ports[port] = mac
        before = self.desired.fabric
        if up and mac is not None:
            self.desired.hosts.port_up((session.switch, port))
        else:
            self.desired.hosts.port_down((session.switch, port))
            self.desired.fabric = before.without_port(session.switch, port)
        effects: list[Effect] = []
        if self.desired.fabric != before:
            effects.append(Remember(links=tuple(self.desired.fabric.links)))
        if effects or session.ports != known:
            effects += self.upkeep.reroute(now)
        return effects + self.announce(session)

    def silent(self, now: float) -> list[Effect]:
        """Links that fell silent lead nowhere any more."""
        ready = {session.switch for session in self.upkeep.ready()}
        silent = self.watcher.links.overdue(self.desired.fabric, ready, now)
        if not silent:
            return []
        self.desired.fabric = self.desired.fabric.without(silent)
        told: list[Effect] = [
            Log(
                logging.WARNING,
                f"link lost: switch {link.switch} port {link.port} to switch {link.peer_switch} "
                f"port {link.peer_port}: nothing heard for {LINK_TIMEOUT:g} s",
            )
            for link in sorted(silent, key=cable_of)
        ]
        links = tuple(self.desired.fabric.links)
        return [*told, Remember(links=links), *self.upkeep.reroute(now)]

    def announce(self, session: Session) -> list[Effect]:
        """Send a link discovery frame out of every port where no host is known."""
        watcher, hosts = self.watcher, self.desired.hosts
        data = b"".join(
            discovery.announcement(session.switch, port, mac, watcher.secret, next(watcher.xids))
            for port, mac in sorted(session.ports.items())
            if hosts.occupant((session.switch, port)) is None
        )
        return [Send(session.switch, data)] if data else []

    def discover(self, session: Session, now: float) -> list[Effect]:
        """Before the first comparison, find out which ports lead to other switches."""
        needed: tuple[Rule, ...] = ()
        if session.kind.target is SwitchTarget.STATEFUL:
            needed = tuple(link_discovery_rules(self.upkeep.view(session).ports))
        else:
            with suppress(CompileError):  # which the first comparison tells
                rules = self.upkeep.rules(session, now)
                needed = tuple(rule for rule in rules if LLDP in rule.match)
        return [
            *session.set_meters(self.upkeep.meters(session, now)),
            *session.ensure(needed, "link discovery", now),
            *self.announce(session),
        ]

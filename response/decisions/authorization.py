"""What the current policy permits, given the current bindings."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from detection.alert import Alert
from policies.model import Envelope, Mode, Policy
from policies.semantics.membership import Membership
from response.decision import Decision, DecisionAction, Port
from response.decisions.bandit import Context
from response.decisions.envelope import Judgement, is_protected, judge_envelope, remaining_hosts
from response.decisions.exposure import Exposure
from response.decisions.host_addresses import HostDirectory, KnownHost
from topology.records import Binding


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Further inputs of the envelope; see `response.decisions.envelope.judge_envelope`."""

    active: tuple[Decision, ...]
    hold: str | None
    overridden_by: str | None
    hearsay: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """What a decision acts on: ``addresses``, and with the ``scope`` ``port`` all of ``ports``.
    ``sharer`` is why it does not take them whole, where a discovered host is there."""

    scope: str
    addresses: tuple[str, ...]
    ports: tuple[Port, ...] = ()
    sharer: str | None = None


class Authorization:
    """Built anew whenever the policy or the bindings change; the work is done when asked."""

    def __init__(self, policy: Policy, bindings: tuple[Binding, ...]) -> None:
        self._policy = policy
        self._bindings = bindings
        self._known: tuple[Membership, HostDirectory, Exposure] | None = None

    def host_of(self, address: str) -> KnownHost | None:
        return self._who()[1].find(address)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Every declared host's addresses, by name."""
        return self._who()[1].declared()

    def holders(self, addresses: Iterable[str]) -> list[KnownHost]:
        """The known hosts that hold any of these addresses."""
        found = (self.host_of(address) for address in addresses)
        return list({host.name: host for host in found if host is not None}.values())

    @property
    def envelope(self) -> Envelope | None:
        return self._policy.envelope

    @property
    def reach(self) -> Exposure:
        """Host pairs under the current policy."""
        return self._who()[2]

    def judge(self, action: DecisionAction, host: KnownHost, around: Circumstances) -> Judgement:
        """How far ``action`` on ``host`` may go now."""
        return judge_envelope(
            action,
            host,
            self._policy.envelope,
            self._who()[0],
            around.active,
            hold=around.hold,
            overridden_by=around.overridden_by,
            hearsay=around.hearsay,
        )

    def context(self, alert: Alert, host: KnownHost, around: Circumstances, now: float) -> Context:
        """What is known when an action is chosen; see `response.decisions.bandit`."""
        envelope = self._policy.envelope
        headroom = (
            0.0
            if envelope is None
            else remaining_hosts(host, envelope, self._who()[0], around.active)
        )
        critical = self.reach.criticality(host, now)
        return Context(alert.score, alert.kind, len(alert.path), critical, headroom)

    def may_explore(self, host: KnownHost) -> bool:
        """Whether exploration is allowed: not for hosts in an enforced segment."""
        return self.reach.mode(host) is not Mode.ENFORCE

    def forbids(self, decision: Decision) -> str | None:
        """The reason why neither a person nor the machine may make this decision, or None."""
        envelope = self._policy.envelope
        if envelope is None:
            return "the policy has no adaptive section"
        if decision.action not in envelope.actions:
            return f"{decision.action} is not among the policy's adaptive actions"
        target = KnownHost(decision.target, decision.addresses, True)
        if is_protected(target, envelope, self._who()[0]):
            return f"{decision.target} is protected"
        return None

    def still_of(self, decision: Decision) -> tuple[str, ...]:
        """Those of a decision's addresses that are its host's (or nobody's) and not protected."""
        return tuple(
            address
            for address in self.unprotected(decision.addresses)
            if (holder := self.host_of(address)) is None
            or not holder.declared
            or holder.name == decision.target
        )

    def extent(self, host: KnownHost) -> Extent:
        """What a decision on the host acts on.

        A discovered host is its port, which is taken whole. Where others are there that were
        declared, are protected or route, all discovered identities are taken instead.
        """
        if not host.ports:
            return Extent("host", host.addresses)
        sharer = self.sharer(host.ports)
        if sharer is None:
            return Extent("port", host.addresses, host.ports)
        return Extent("host", self.identities(host.ports), host.ports, sharer)

    def ports_of(self, addresses: Iterable[str]) -> tuple[Port, ...]:
        """The ports of the discovered hosts that hold any of these addresses, where all of them
        may be taken whole."""
        hosts = self.holders(addresses)
        ports = tuple(dict.fromkeys(port for host in hosts for port in host.ports))
        return () if self.sharer(ports) is not None else ports

    def sharer(self, ports: Iterable[Port]) -> str | None:
        """Why some ports may not be taken whole, or None."""
        for host in self._who()[1].at(ports):
            if self._protects(host):
                return f"{host.name} on the same port is protected"
            if host.declared:
                what = "routes for others" if host.routes else "is declared"
                return f"{host.name} on the same port {what}"
        return None

    def protected_on(self, ports: Iterable[Port]) -> str | None:
        """Why not even a person may take some ports whole, or None."""
        found = (host.name for host in self._who()[1].at(ports) if self._protects(host))
        name = next(found, None)
        return None if name is None else f"{name} on the same port is protected"

    def identities(self, ports: Iterable[Port], held: Collection[str] = ()) -> tuple[str, ...]:
        """The addresses of discovered hosts on some ports that may be blocked.

        A host with a protected address is left alone, unless it has one that is ``held`` already:
        that one took the protected address since.
        """
        found = (
            host
            for host in self._who()[1].at(ports)
            if not host.declared
            and (not self._protects(host) or not set(held).isdisjoint(host.addresses))
        )
        return self.unprotected(dict.fromkeys(a for host in found for a in host.addresses))

    def _protects(self, host: KnownHost) -> bool:
        envelope = self._policy.envelope
        return envelope is not None and is_protected(host, envelope, self._who()[0])

    def unprotected(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Those of the addresses that a machine decision may cover."""
        envelope = self._policy.envelope
        protected = () if envelope is None else self._who()[0].protected_addresses(envelope)
        return tuple(address for address in addresses if address not in protected)

    def _who(self) -> tuple[Membership, HostDirectory, Exposure]:
        if self._known is None:
            members = Membership(self._policy, self._bindings)
            hosts = HostDirectory(self._policy, self._bindings)
            self._known = members, hosts, Exposure(self._policy, members, hosts.all())
        return self._known

"""What the policy of now permits: one policy, the bindings that hold, and the questions
that the response asks of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from detection.alerts import Alert
from policies.model import Policy
from response.choose import choose
from response.decisions import Decision, DecisionAction
from response.envelope import Judgement, Members, is_protected, judge_envelope
from response.hosts import HostDirectory, KnownHost
from topology.records import Binding

MembersOf = Callable[[Policy, tuple[Binding, ...]], Members]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else decides how far a response goes; see `response.envelope.judge_envelope`."""

    active: tuple[Decision, ...]
    hold: str | None
    undone_by: str | None


class Permits:
    """Built anew whenever the policy or the bindings change; the work is done when asked."""

    def __init__(
        self, policy: Policy, bindings: tuple[Binding, ...], members_of: MembersOf
    ) -> None:
        self._policy = policy
        self._bindings = bindings
        self._members_of = members_of
        self._known: tuple[Members, HostDirectory] | None = None

    def host_of(self, address: str) -> KnownHost | None:
        return self._who()[1].find(address)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Every declared host's addresses, by name."""
        return self._who()[1].declared()

    def holders(self, addresses: Iterable[str]) -> list[KnownHost]:
        """The known hosts that hold any of these addresses."""
        found = (self.host_of(address) for address in addresses)
        return list({host.name: host for host in found if host is not None}.values())

    def judge(
        self, alert: Alert, host: KnownHost | None, around: Circumstances
    ) -> tuple[Judgement, DecisionAction | None]:
        """How far the response to ``alert`` by ``host`` may go, and with which action."""
        envelope = self._policy.envelope
        if host is None:
            return Judgement("alert", f"{alert.host} is no known host of this network"), None
        if envelope is None:
            return Judgement("alert", "the policy has no adaptive section"), None
        action = choose(alert, envelope.actions)
        if action is None:
            return Judgement("alert", "no action that the policy allows fits this alert"), None
        judgement = judge_envelope(
            action,
            host,
            envelope,
            self._who()[0],
            around.active,
            hold=around.hold,
            undone_by=around.undone_by,
        )
        return judgement, action

    def forbids(self, decision: Decision) -> str | None:
        """Why nobody, person or machine, may have this decision; None: it may stand."""
        envelope = self._policy.envelope
        if envelope is None:
            return "the policy has no adaptive section"
        if decision.action not in envelope.actions:
            return f"{decision.action} is not among the policy's adaptive actions"
        target = KnownHost(decision.target, decision.addresses, True)
        if is_protected(target, envelope, self._who()[0]):
            return f"{decision.target} is protected"
        return None

    def unprotected(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Those of the addresses that a machine decision may cover."""
        envelope = self._policy.envelope
        protected = () if envelope is None else self._who()[0].protected_addresses(envelope)
        return tuple(address for address in addresses if address not in protected)

    def _who(self) -> tuple[Members, HostDirectory]:
        if self._known is None:
            members = self._members_of(self._policy, self._bindings)
            self._known = members, HostDirectory(self._policy, self._bindings)
        return self._known

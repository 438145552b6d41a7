"""Address assignment and neighbour discovery: what switches answer apart from intents.

``defaults.infrastructure`` decides about them, and declared servers and routers (`serves`,
`routes`): a request that nobody may answer goes nowhere, and an offer of anybody else is dropped.
"""

from __future__ import annotations

from policies.model import DHCP, ICMPV6, UDP, Action, Connection, Mode, Policy, Tier, Verdict

_REQUEST = {4: 67, 6: 547}  # responder's port of what a DHCP client sends
_OFFER = {4: 68, 6: 546}
_NEIGHBOURS = range(133, 138)
"""ICMPv6 types of RFC 4861: solicitations, advertisements and redirects."""


class InfrastructureRules:
    """What becomes of infrastructure protocols under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._allowed = policy.defaults.infrastructure
        self._servers = {
            address for host in policy.hosts if DHCP in host.serves for address in host.ips
        }
        self._verdicts: dict[tuple[Action, frozenset[str], frozenset[str]], Verdict] = {}
        self._served = any(DHCP in host.serves for host in policy.hosts)

    def verdict(
        self, connection: Connection, sources: frozenset[str], targets: frozenset[str]
    ) -> Verdict | None:
        """As `action`, as a verdict in whatever mode; ``sources`` and ``targets`` are the segments
        of the two ends. Equal verdicts are one object."""
        action = self.action(connection)
        if action is None:
            return None
        key = (action, sources, targets)
        found = self._verdicts.get(key)
        if found is None:
            ends = (tuple(sorted(sources)), tuple(sorted(targets)))
            passes = action is Action.ALLOW
            found = Verdict(action, passes, Mode.ENFORCE, Tier.DEFAULT, None, *ends, None)
            self._verdicts[key] = found
        return found

    def action(self, connection: Connection) -> Action | None:
        """What the switches do; None for a connection that intents decide about.

        DHCP to one address, such as a renewal, is decided by intents like anything else.
        """
        version, port = connection.dst.version, connection.port
        if connection.proto == ICMPV6 and port in _NEIGHBOURS:
            return self._allowed.nd
        if connection.proto != UDP or not _is_group(connection):
            return None
        if port == _REQUEST[version]:
            return self._allowed.dhcp if self._served else Action.DENY
        if port == _OFFER[version]:
            return self._allowed.dhcp if connection.src in self._servers else Action.DENY
        return None


def _is_group(connection: Connection) -> bool:
    return connection.dst.is_multicast or int(connection.dst) == 0xFFFF_FFFF

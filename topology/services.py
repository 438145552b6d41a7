"""Facts about services by their ports alone."""

from __future__ import annotations

FOOTHOLDS = frozenset(
    {22, 23, 111, 135, 139, 445, 512, 513, 514, 593, 2222, 3389, 5900, 5901, 5985, 5986}
)
"""TCP ports of remote access: a session on one can start the next hop. Shells, remote desktops,
file shares and remote procedure calls through which commands are run."""

_CONTROL_TCP = frozenset({2375, 2376, 10250})  # Docker's interface, Kubernetes' node agent
_CONTROL_UDP = frozenset({623})  # IPMI

REMOTE_ADMINISTRATION = frozenset(
    {
        *(("tcp", port) for port in FOOTHOLDS | _CONTROL_TCP),
        *(("udp", port) for port in _CONTROL_UDP),
    }
)
"""Protocol and port of services that only people and tools in charge of a host should use:
footholds, and interfaces that start, stop or run something on a host without a session."""

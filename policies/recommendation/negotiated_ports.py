"""Ports that two programs agree upon over another connection, and that are others the next time.

FTP (RFC 959) gives out a port for each transfer, MS-RPC and ONC RPC for each service at start, SIP,
H.323 and RTSP for each media stream. An allow for each port seen would be wrong on the next day, so
that the range is recommended from which they are given out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from policies.model import TCP, UDP
from policies.recommendation.evidence import ObservedEdge, Port

CONTROL: frozenset[Port] = frozenset(
    {(TCP, 21), (UDP, 69), (TCP, 111), (UDP, 111), (TCP, 135), (TCP, 554),
     (TCP, 1720), (TCP, 5060), (UDP, 5060), (TCP, 5061)}
)  # fmt: skip
"""Services over which ports are negotiated: FTP, TFTP, RPC, RTSP, H.323, SIP."""

RANGES = (49_152, 32_768, 1024)
"""Where ranges begin from which ports are given out: RFC 6335, Linux, no port below."""

_RARE = 2  # connections: a port that is used more often is somebody's service
_MANY = 5  # ports of one client at one server


def merge_negotiated(edges: Sequence[ObservedEdge]) -> list[ObservedEdge]:
    """The edges, with those on negotiated ports between two nodes as one on a range.

    A range from ``low`` to 65535 is the port ``-low``; see `policies.recommendation.evidence`.
    """
    pairs: dict[tuple[str, str, int], list[ObservedEdge]] = defaultdict(list)
    control: set[tuple[str, str]] = set()
    for edge in edges:
        if edge.port in CONTROL:
            control.add((edge.client, edge.server))
        elif _is_fresh(edge):
            pairs[edge.client, edge.server, edge.port[0]].append(edge)
    merged: dict[tuple[str, str, Port], ObservedEdge] = {}
    gone: set[tuple[str, str, Port]] = set()
    for (client, server, proto), group in pairs.items():
        if (client, server) in control and len(group) >= _MANY:
            whole = _merged(client, server, proto, group)
            merged[whole.key] = whole
            gone |= {edge.key for edge in group}
    return [edge for edge in edges if edge.key not in gone] + list(merged.values())


def _merged(client: str, server: str, proto: int, group: Iterable[ObservedEdge]) -> ObservedEdge:
    some = list(group)
    lowest = min(edge.port[1] for edge in some)
    low = next(start for start in RANGES if lowest >= start)
    return ObservedEdge(
        client,
        server,
        (proto, -low),
        sum(edge.connections for edge in some),
        sum(edge.failed for edge in some),
        min(edge.first for edge in some),
    )


def _is_fresh(edge: ObservedEdge) -> bool:
    proto, port = edge.port
    return (
        proto in (TCP, UDP)
        and port >= RANGES[-1]
        and edge.connections <= _RARE
        and 2 * edge.failed < edge.connections  # a scan is mostly in vain
    )

"""Services that can be used for lateral movement, and records that are no service use."""

from __future__ import annotations

from topology.initiator import EPHEMERAL
from topology.records import FlowRecord
from topology.services import FOOTHOLDS

# What carries no port (some recordings) could be anything, so it could be a foothold.
UNKNOWN_SERVICES = frozenset({"ip", ""})
HIGH = "/high"

_ICMP_REQUESTS = frozenset({8, 13, 15, 17})
_ICMPV6_REQUESTS = frozenset({128, 139})
_NO_MOVEMENT = frozenset({"arp", "nd", "igmp", "ipx/spx", "lldp", "stp"})

TECHNIQUES = {
    22: "T1021.004",
    2222: "T1021.004",
    3389: "T1021.001",
    445: "T1021.002",
    139: "T1021.002",
    135: "T1021.003",
    5900: "T1021.005",
    5901: "T1021.005",
    5985: "T1021.006",
    5986: "T1021.006",
}


def service_of(record: FlowRecord) -> str:
    """The service to learn about: ports that clients are given at random count as one."""
    if record.dst_port >= EPHEMERAL and record.proto in ("tcp", "udp"):
        return record.proto + HIGH
    return record.service


def is_foothold(service: str) -> bool:
    proto, _, port = service.partition("/")
    if proto == "tcp" and port.isdecimal():
        return int(port) in FOOTHOLDS
    return service in UNKNOWN_SERVICES


def is_request(record: FlowRecord) -> bool:
    """False for what a host emits without wanting to reach someone: errors, replies, upkeep."""
    proto = record.proto
    if proto == "tcp" or proto == "udp":
        return True
    if proto == "icmp":
        # Recordings often have no ICMP type: then both numbers are not what live ones are.
        return record.src_port in _ICMP_REQUESTS or (
            record.src_port == 0 and record.phase == "whole"
        )
    if proto == "icmpv6":
        return record.src_port in _ICMPV6_REQUESTS
    return proto not in _NO_MOVEMENT


WEB = frozenset({"tcp/80", "tcp/443", "tcp/8080", "tcp/8443", "udp/443"})


def technique(kind: str, service: str, feature: str = "", only_addresses: bool = False) -> str:
    """The MITRE ATT&CK technique id that fits an alert of this kind on this service.

    ``feature`` is what speaks most for it; ``only_addresses``: no service was tried in vain, so
    that what was searched for are hosts.
    """
    if kind in ("lateral-path", "spread"):
        return _remote_service(service)
    if kind == "beacon":
        return "T1071.001" if service in WEB else "T1071"
    if kind == "volume":
        if feature == "burst":
            return "T1110" if is_foothold(service) else "T1499"
        return "T1048" if feature == "rare_volume" else "T1570"
    if kind == "novel-edge":
        return _remote_service(service) if is_foothold(service) else "T1210"
    if only_addresses and feature.startswith("unanswered_addresses"):
        return "T1018"
    return "T1046"


def _remote_service(service: str) -> str:
    port = service.partition("/")[2]
    return TECHNIQUES.get(int(port), "T1021") if port.isdecimal() else "T1021"

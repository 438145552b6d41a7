"""A connection as the packet fields that rules match."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, TCP_ACK, TCP_SYN
from policies.compiler.common.services import ANSWERS, PORTS
from policies.model import ICMP, ICMPV6, TCP, Connection, Host
from policies.rules.conntrack import CT_EST, CT_NEW, CT_RPL, CT_TRK
from policies.semantics.prefix_sets import number_at, span_of
from topology.addresses import mac_number
from topology.records import Binding

ANSWER_TYPES = {
    (proto, query): answer for proto, types in ANSWERS.items() for answer, query in types.items()
}
EPHEMERAL = 49_152
NEW = CT_TRK | CT_NEW
ESTABLISHED_REPLY = CT_TRK | CT_EST | CT_RPL


def binding_of(
    address: str, bindings: Sequence[Binding], hosts: Sequence[Host] = ()
) -> Binding | None:
    """Where an address is: on its own port, else behind the router with the longest route to it."""
    found = next((each for each in bindings if each.ip == address), None)
    if found is not None:
        return found
    number = number_at(address)
    behind = [
        (-route.prefixlen, host.name)
        for host in hosts
        for route in host.routes
        if number in span_of(route)
    ]
    for _, name in sorted(behind):
        router = next((each for each in bindings if each.host == name), None)
        if router is not None:
            return replace(router, ip=address)
    return None


def packet_of(
    connection: Connection, sender: Binding, receiver: Binding, *, in_port: int, reply: bool = False
) -> dict[str, int]:
    """The fields of a connection's first packet, or of its answer.

    ``sender`` and ``receiver`` are the bindings of initiator and responder, and
    ``in_port`` the port of the switch that the packet comes in on.
    """
    src, dst = (connection.dst, connection.src) if reply else (connection.src, connection.dst)
    src_mac, dst_mac = (receiver, sender) if reply else (sender, receiver)
    family = "ip" if connection.src.version == 4 else "ipv6"
    packet = {
        "in_port": in_port,
        "eth_src": mac_number(src_mac.mac),
        "eth_dst": mac_number(dst_mac.mac),
        "eth_type": ETH_IP if family == "ip" else ETH_IPV6,
        f"{family}_src": int(src),
        f"{family}_dst": int(dst),
        "ip_proto": connection.proto,
    }
    if (name := PORTS.get(connection.proto)) is not None:
        near, far = (connection.port, EPHEMERAL) if reply else (EPHEMERAL, connection.port)
        packet |= {f"{name}_src": near, f"{name}_dst": far}
        if connection.proto == TCP:
            packet["tcp_flags"] = TCP_SYN | TCP_ACK if reply else TCP_SYN
    elif connection.proto in (ICMP, ICMPV6):
        kind = connection.port
        if reply:
            kind = ANSWER_TYPES.get((connection.proto, kind), kind)
        name = "icmp" if connection.proto == ICMP else "icmpv6"
        packet |= {f"{name}_type": kind, f"{name}_code": 0}
    return packet

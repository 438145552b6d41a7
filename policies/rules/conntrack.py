"""Connection tracking in rules: the bits of ``ct_state``, and packets in fragments."""

from __future__ import annotations

from collections.abc import Mapping

from policies.model import SCTP, TCP, UDP
from policies.rules.rule import Field

# Bits of ct_state as Open vSwitch numbers them (ovs-fields(7)).
CT_NEW, CT_EST, CT_REL, CT_RPL, CT_INV, CT_TRK = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
INVALID = CT_TRK | CT_INV  # the state of a packet that `is_untrackable`, and of its fragments

ANY_FRAGMENT, FIRST_FRAGMENT = Field("ip_frag", 1, 1), Field("ip_frag", 1)
LATER_FRAGMENT = Field("ip_frag", 3)
PORTS = {TCP: "tcp_dst", UDP: "udp_dst", SCTP: "sctp_dst"}
NO_TYPE = 255  # reserved in ICMP and ICMPv6; connection tracking refuses it
# The value of each field that no tracked packet can have.
UNTRACKABLE = dict.fromkeys(PORTS.values(), 0) | dict.fromkeys(
    ("icmp_type", "icmpv6_type"), NO_TYPE
)


def is_untrackable(packet: Mapping[str, int], received: Mapping[str, int]) -> bool:
    """Whether rules gave a first fragment an `UNTRACKABLE` value, which makes the whole packet
    invalid; ``received`` is the packet before any rule changed it."""
    if packet.get("ip_frag") != FIRST_FRAGMENT.value:
        return False
    names = [name for name, none in UNTRACKABLE.items() if packet.get(name) == none]
    return any(received.get(name) != packet[name] for name in names)

"""Field headers: how OpenFlow 1.3 (OXM) and Open vSwitch (NXM) number what rules match.

Numbers from the OpenFlow 1.3.5 specification, table 12, and Open vSwitch's
``meta-flow.h``.
"""

from __future__ import annotations

from dataclasses import dataclass

OXM, NXM_0, NXM_1, EXPERIMENTER = 0x8000, 0x0000, 0x0001, 0xFFFF
ONF = 0x4F4E4600


@dataclass(frozen=True, slots=True)
class WireField:
    """``size`` in bytes. ``action`` is the class and number used inside load, move and learn."""

    name: str
    oxm_class: int
    number: int
    size: int
    action_class: int
    action_number: int

    @property
    def header(self) -> int:
        return self.oxm_class << 16 | self.number << 9 | self.size

    def prefix(self, masked: bool) -> bytes:
        """What stands before the value, and its mask, in a match."""
        size = self.size * 2 if masked else self.size
        vendor = b""
        if self.oxm_class == EXPERIMENTER:
            vendor = ONF.to_bytes(4, "big")
        header = self.oxm_class << 16 | self.number << 9 | masked << 8 | size + len(vendor)
        return header.to_bytes(4, "big") + vendor

    @property
    def action_header(self) -> int:
        return self.action_class << 16 | self.action_number << 9 | self.size


def _field(
    name: str, oxm_class: int, number: int, size: int, action: tuple[int, int] | None = None
) -> WireField:
    action_class, action_number = action or (oxm_class, number)
    return WireField(name, oxm_class, number, size, action_class, action_number)


_ALL = (
    _field("in_port", OXM, 0, 4),
    _field("metadata", OXM, 2, 8),
    _field("eth_dst", OXM, 3, 6, (NXM_0, 1)),
    _field("eth_src", OXM, 4, 6, (NXM_0, 2)),
    _field("eth_type", OXM, 5, 2, (NXM_0, 3)),
    _field("vlan_vid", OXM, 6, 2),
    _field("ip_proto", OXM, 10, 1, (NXM_0, 6)),
    _field("ip_src", OXM, 11, 4, (NXM_0, 7)),
    _field("ip_dst", OXM, 12, 4, (NXM_0, 8)),
    _field("tcp_src", OXM, 13, 2, (NXM_0, 9)),
    _field("tcp_dst", OXM, 14, 2, (NXM_0, 10)),
    _field("tcp_flags", EXPERIMENTER, 42, 2, (NXM_1, 34)),  # an ONF extension of OpenFlow 1.3
    _field("udp_src", OXM, 15, 2, (NXM_0, 11)),
    _field("udp_dst", OXM, 16, 2, (NXM_0, 12)),
    _field("sctp_src", OXM, 17, 2),
    _field("sctp_dst", OXM, 18, 2),
    _field("icmp_type", OXM, 19, 1, (NXM_0, 13)),
    _field("icmp_code", OXM, 20, 1, (NXM_0, 14)),
    _field("arp_op", OXM, 21, 2),
    _field("arp_spa", OXM, 22, 4),
    _field("arp_tpa", OXM, 23, 4),
    _field("arp_sha", OXM, 24, 6),
    _field("ipv6_src", OXM, 26, 16, (NXM_1, 19)),
    _field("ipv6_dst", OXM, 27, 16, (NXM_1, 20)),
    _field("icmpv6_type", OXM, 29, 1, (NXM_1, 21)),
    _field("icmpv6_code", OXM, 30, 1, (NXM_1, 22)),
    _field("nd_target", OXM, 31, 16),
    _field("nd_sll", OXM, 32, 6),
    _field("nd_tll", OXM, 33, 6),
    *(_field(f"reg{number}", NXM_1, number, 4) for number in range(16)),
    *(_field(f"xxreg{number}", NXM_1, 111 + number, 16) for number in range(4)),
    _field("ip_frag", NXM_1, 26, 1),
    _field("ct_state", NXM_1, 105, 4),
    _field("ct_zone", NXM_1, 106, 2),
    _field("ct_mark", NXM_1, 107, 4),
    _field("ct_label", NXM_1, 108, 16),
    _field("ct_nw_proto", NXM_1, 119, 1),
    _field("ct_nw_src", NXM_1, 120, 4),
    _field("ct_nw_dst", NXM_1, 121, 4),
    _field("ct_ipv6_src", NXM_1, 122, 16),
    _field("ct_ipv6_dst", NXM_1, 123, 16),
    _field("ct_tp_src", NXM_1, 124, 2),
    _field("ct_tp_dst", NXM_1, 125, 2),
)
BY_NAME = {field.name: field for field in _ALL}
# A header without its length and mask bit names the field.
BY_HEADER = {field.header >> 9: field for field in _ALL if field.oxm_class != EXPERIMENTER}

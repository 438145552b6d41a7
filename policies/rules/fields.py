"""The fields that rules match and write: name, width, kind of value, number and spelling.

Numbers from the OpenFlow 1.3.5 specification, table 12 (OXM), and Open vSwitch's ``meta-flow.h``
(NXM). Whatever else knows fields (text, bytes, proof) derives it from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class FieldClass(IntEnum):
    """The class in a field's header: who gives out its number."""

    NXM_0 = 0x0000
    NXM_1 = 0x0001
    OXM = 0x8000
    EXPERIMENTER = 0xFFFF


OXM, NXM_0, NXM_1 = FieldClass.OXM, FieldClass.NXM_0, FieldClass.NXM_1
_PREFIXES = {OXM: "OXM_OF_", NXM_0: "NXM_OF_", NXM_1: "NXM_NX_"}


class FieldKind(Enum):
    """How a field's value is written."""

    NUMBER = auto()
    HEX = auto()
    MAC = auto()
    IPV4 = auto()
    IPV6 = auto()
    FLAGS = auto()
    FRAGMENT = auto()


NumberInClass = tuple[FieldClass, int]


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field. ``width`` in bits, as a message has it; ``matched`` and ``written`` are its
    numbers in a match, and inside the actions load, move and learn."""

    name: str
    width: int
    kind: FieldKind
    matched: NumberInClass
    written: NumberInClass
    label: str

    @property
    def spelling(self) -> str:
        """What ``ovs-ofctl`` calls it inside load, move and learn."""
        return _PREFIXES[self.written[0]] + self.label.upper()


def _all() -> Iterator[FieldType]:
    def field(
        name: str,
        width: int,
        kind: FieldKind,
        matched: NumberInClass,
        written: NumberInClass | None = None,
        label: str | None = None,
    ) -> FieldType:
        return FieldType(name, width, kind, matched, written or matched, label or name)

    number, hexadecimal, flags = FieldKind.NUMBER, FieldKind.HEX, FieldKind.FLAGS
    mac, ipv4, ipv6 = FieldKind.MAC, FieldKind.IPV4, FieldKind.IPV6
    yield field("in_port", 32, number, (OXM, 0))
    yield field("metadata", 64, hexadecimal, (OXM, 2))
    yield field("eth_dst", 48, mac, (OXM, 3), (NXM_0, 1))
    yield field("eth_src", 48, mac, (OXM, 4), (NXM_0, 2))
    yield field("eth_type", 16, hexadecimal, (OXM, 5), (NXM_0, 3))
    yield field("vlan_vid", 16, number, (OXM, 6))
    yield field("ip_proto", 8, number, (OXM, 10), (NXM_0, 6))
    yield field("ip_src", 32, ipv4, (OXM, 11), (NXM_0, 7))
    yield field("ip_dst", 32, ipv4, (OXM, 12), (NXM_0, 8))
    yield field("tcp_src", 16, number, (OXM, 13), (NXM_0, 9))
    yield field("tcp_dst", 16, number, (OXM, 14), (NXM_0, 10))
    # An extension of OpenFlow 1.3 by the ONF (EXT-109).
    yield field("tcp_flags", 16, flags, (FieldClass.EXPERIMENTER, 42), (NXM_1, 34))
    yield field("udp_src", 16, number, (OXM, 15), (NXM_0, 11))
    yield field("udp_dst", 16, number, (OXM, 16), (NXM_0, 12))
    yield field("sctp_src", 16, number, (OXM, 17))
    yield field("sctp_dst", 16, number, (OXM, 18))
    yield field("icmp_type", 8, number, (OXM, 19), (NXM_0, 13))
    yield field("icmp_code", 8, number, (OXM, 20), (NXM_0, 14))
    yield field("arp_op", 16, number, (OXM, 21))
    yield field("arp_spa", 32, ipv4, (OXM, 22))
    yield field("arp_tpa", 32, ipv4, (OXM, 23))
    yield field("arp_sha", 48, mac, (OXM, 24))
    yield field("arp_tha", 48, mac, (OXM, 25))
    yield field("ipv6_src", 128, ipv6, (OXM, 26), (NXM_1, 19))
    yield field("ipv6_dst", 128, ipv6, (OXM, 27), (NXM_1, 20))
    yield field("icmpv6_type", 8, number, (OXM, 29), (NXM_1, 21))
    yield field("icmpv6_code", 8, number, (OXM, 30), (NXM_1, 22))
    yield field("nd_target", 128, ipv6, (OXM, 31), label="ipv6_nd_target")
    yield field("nd_sll", 48, mac, (OXM, 32), label="ipv6_nd_sll")
    yield field("nd_tll", 48, mac, (OXM, 33), label="ipv6_nd_tll")
    for index in range(16):
        yield field(f"reg{index}", 32, hexadecimal, (NXM_1, index))
    for index in range(4):
        yield field(f"xxreg{index}", 128, hexadecimal, (NXM_1, 111 + index))
    yield field("ip_frag", 8, FieldKind.FRAGMENT, (NXM_1, 26))
    yield field("ct_state", 32, flags, (NXM_1, 105))
    yield field("ct_zone", 16, number, (NXM_1, 106))
    yield field("ct_mark", 32, number, (NXM_1, 107))
    yield field("ct_label", 128, number, (NXM_1, 108))
    yield field("ct_nw_proto", 8, number, (NXM_1, 119))
    yield field("ct_nw_src", 32, ipv4, (NXM_1, 120))
    yield field("ct_nw_dst", 32, ipv4, (NXM_1, 121))
    yield field("ct_ipv6_src", 128, ipv6, (NXM_1, 122))
    yield field("ct_ipv6_dst", 128, ipv6, (NXM_1, 123))
    yield field("ct_tp_src", 16, number, (NXM_1, 124))
    yield field("ct_tp_dst", 16, number, (NXM_1, 125))


FIELDS: Mapping[str, FieldType] = {field.name: field for field in _all()}


# Rules that are not ours, read back from a switch, may have fields that are not listed.


def kind_of(name: str) -> FieldKind:
    return FIELDS[name].kind if name in FIELDS else FieldKind.NUMBER


def width_of(name: str) -> int:
    """How many bits a field has; 16 where that is not known."""
    return FIELDS[name].width if name in FIELDS else 16


def spelling_of(name: str) -> str:
    """What ``ovs-ofctl`` calls a field inside load, move and learn."""
    return FIELDS[name].spelling if name in FIELDS else f"NXM_NX_{name.upper()}"


def _of_headers(kind: FieldKind) -> frozenset[str]:
    names = (name for name, field in FIELDS.items() if field.kind is kind)
    return frozenset(name for name in names if not name.startswith("ct_"))


MAC_FIELDS = _of_headers(FieldKind.MAC)
IPV4_FIELDS = _of_headers(FieldKind.IPV4)
IPV6_FIELDS = _of_headers(FieldKind.IPV6)
"""Addresses in a packet's headers; those that connection tracking remembers are not among them."""

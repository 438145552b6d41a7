"""Fields in Open vSwitch's words, read back: names, words that stand for protocols, and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from policies.rules.fields import IPV4_FIELDS, IPV6_FIELDS, MAC_FIELDS, width_of
from policies.rules.ovs_text import FRAGMENTS
from policies.rules.rule import Field

_IP, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
WORDS: dict[str, tuple[tuple[str, int], ...]] = {
    "ip": (("eth_type", _IP),),
    "ipv6": (("eth_type", _IPV6),),
    "arp": (("eth_type", _ARP),),
    "icmp": (("eth_type", _IP), ("ip_proto", 1)),
    "icmp6": (("eth_type", _IPV6), ("ip_proto", 58)),
    **{
        name + suffix: (("eth_type", family), ("ip_proto", number))
        for name, number in (("tcp", 6), ("udp", 17), ("sctp", 132))
        for suffix, family in (("", _IP), ("6", _IPV6))
    },
}
NAMES = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "dl_type": "eth_type",
    "nw_proto": "ip_proto",
    "nw_src": "ip_src",
    "nw_dst": "ip_dst",
    "nw_frag": "ip_frag",
    "dl_vlan": "vlan_vid",
    "vlan_tci": "vlan_vid",
    "arp_tha": "arp_tha",
}
TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32}
CT_FLAGS = {"new": 1, "est": 2, "rel": 4, "rpl": 8, "inv": 16, "trk": 32, "snat": 64, "dnat": 128}


def read_match(words: Iterable[str], fields: Iterable[tuple[str, str]]) -> Iterator[Field]:
    """What a rule matches: words like ``tcp6``, and names with values."""
    values = dict(pair for word in words for pair in WORDS[word])
    given = [(NAMES.get(name, name), value) for name, value in fields]
    for name, value in given:
        if name in ("eth_type", "ip_proto"):
            values[name] = int(value, 0)
    for name, number in values.items():
        yield Field(name, number)
    for name, value in given:
        if name not in ("eth_type", "ip_proto"):
            yield from _field(_in_full(name, values), value)


def _in_full(name: str, values: dict[str, int]) -> str:
    """Names that mean different fields for different protocols."""
    if name in ("icmp_type", "icmp_code") and values.get("eth_type") == _IPV6:
        return name.replace("icmp", "icmpv6")
    if name in ("tp_src", "tp_dst"):
        proto = {6: "tcp", 17: "udp", 132: "sctp"}[values["ip_proto"]]
        return name.replace("tp", proto)
    return name


def _field(name: str, text: str) -> Iterator[Field]:
    if name == "ct_state":
        yield _ct_state(text)
        return
    if name == "ip_frag":
        bits, mask_bits = FRAGMENTS[text]
        yield Field(name, bits, mask_bits)
        return
    if name == "tcp_flags" and text[0] in "+-":
        yield _signed(name, text, TCP_FLAGS)
        return
    value, slash, mask = text.partition("/")
    if name == "vlan_vid" and not slash:
        value = str(int(value, 0) | 0x1000)  # printed without the bit that says there is a tag
    number, full = read_number(name, value), (1 << width_of(name)) - 1
    if name.startswith("xxreg"):
        yield from _wide(name, number, read_number(name, mask) if slash else full)
    elif not slash:
        yield Field(name, number)
    else:
        bits = _mask(name, mask)
        if bits:
            yield Field(name, number & bits, None if bits == full else bits)


def _wide(name: str, value: int, mask: int) -> Iterator[Field]:
    first = 4 * int(name[5:])
    for index in range(4):
        shift = 32 * (3 - index)
        if part := mask >> shift & 0xFFFF_FFFF:
            word = value >> shift & 0xFFFF_FFFF
            yield Field(f"reg{first + index}", word, None if part == 0xFFFF_FFFF else part)


def _signed(name: str, text: str, flags: Mapping[str, int]) -> Field:
    """A field written as flags that are set and not set, like ``+new-est``."""
    value = mask = 0
    for sign, flag in re.findall(r"([+-])(\w+)", text):
        mask |= flags[flag]
        value |= flags[flag] if sign == "+" else 0
    return Field(name, value, mask)


def _ct_state(text: str) -> Field:
    if text[0] in "+-":
        return _signed("ct_state", text, CT_FLAGS)
    if text[0].isdigit():
        value_text, _, mask_text = text.partition("/")
        return Field("ct_state", int(value_text, 0), int(mask_text, 0))
    value = sum(CT_FLAGS[flag] for flag in text.split("|"))
    return Field("ct_state", value, 0xFFFF_FFFF)


def _mask(name: str, text: str) -> int:
    width = width_of(name)
    if (name in IPV4_FIELDS or name in IPV6_FIELDS) and text.isdigit():
        return ((1 << width) - 1) >> (width - int(text)) << (width - int(text))
    return read_number(name, text)


def read_number(name: str, text: str) -> int:
    """The value of a field, however it is written."""
    if name in MAC_FIELDS:
        return int(text.replace(":", ""), 16)
    if "." in text:
        return int(IPv4Address(text))
    if ":" in text:
        return int(IPv6Address(text))
    return int(text, 0)

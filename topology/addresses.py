"""MAC and IP addresses by themselves: their forms, and what each can stand for."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

MULTICAST_MAC = 1 << 40
"""The bit that is set in the MAC of a group (IEEE 802-2014, section 8.2.2)."""

_BROADCAST = IPv4Address("255.255.255.255")
_UNIVERSAL = 0x0200_0000_0000  # the bit of a MAC that EUI-64 inverts


def mac_number(mac: str) -> int:
    """A MAC in text with colons, as a number of 48 bits."""
    return int(mac.replace(":", ""), 16)


def mac_text(number: int) -> str:
    """A MAC in lower-case text with colons."""
    return number.to_bytes(6, "big").hex(":")


def link_local_number(mac: int) -> int:
    """The ``fe80::`` address that a host forms from its MAC (RFC 4291, appendix A), as a number
    of 128 bits."""
    flipped = mac ^ _UNIVERSAL
    return 0xFE80 << 112 | (flipped >> 24) << 40 | 0xFFFE << 24 | flipped & 0xFF_FFFF


def link_local(mac: str) -> IPv6Address:
    """As `link_local_number`, for a MAC in text."""
    return IPv6Address(link_local_number(mac_number(mac)))


def mac_of_link_local(ip: str) -> str | None:
    """The MAC that the lower half of a ``fe80::`` address was formed from; None for any other."""
    if not ip.startswith("fe80:"):
        return None
    number = int(IPv6Address(ip))
    if number >> 24 & 0xFFFF != 0xFFFE:
        return None
    return mac_text(((number >> 40 & 0xFF_FFFF) << 24 | number & 0xFF_FFFF) ^ _UNIVERSAL)


def is_host_mac(mac: str) -> bool:
    """Whether a MAC can belong to one host: neither multicast nor all zeros."""
    number = mac_number(mac)
    return number != 0 and not number & MULTICAST_MAC


def is_group(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address stands for many hosts: multicast, or the broadcast of every network."""
    return address.is_multicast or address == _BROADCAST


@lru_cache(maxsize=65_536)
def looks_like_group(ip: str) -> bool:
    """Whether the text of an address looks like multicast or broadcast, including the broadcast
    address of most IPv4 networks; False for text that is no IP address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    return address.is_multicast or (address.version == 4 and ip.endswith(".255"))


def is_host_address(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address can belong to one host on a network: not multicast, unspecified or
    loopback."""
    return not (is_group(address) or address.is_unspecified or address.is_loopback)


def is_bindable(ip: str | None) -> bool:
    """As `is_host_address`, for text, or None where a packet has no address."""
    return ip is not None and is_host_address(ip_address(ip))


@lru_cache(maxsize=65_536)
def address_text(packed: bytes) -> str:
    """Four or sixteen bytes in canonical text."""
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return str(IPv6Address(packed))

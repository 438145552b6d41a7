"""Addresses for generated records."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st


def _is_itself(address: IPv4Address | IPv6Address) -> bool:
    """Whether records keep it as it is: IPv4 written as IPv6 is read as IPv4."""
    return not (isinstance(address, IPv6Address) and address.ipv4_mapped)


ADDRESSES = st.ip_addresses().filter(_is_itself).map(str)

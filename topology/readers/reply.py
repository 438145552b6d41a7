"""Which end began a connection, where a recording does not say."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

_PRIVILEGED = 1024
_EPHEMERAL = 32_768


def looks_like_reply(src_port: int, dst_port: int) -> bool:
    """Whether a packet with these ports more likely comes from a server.

    Services have well-known ports (below 1024), or at least registered ones, and
    clients are given ports from 32768 (Linux) or 49152 (others) on.
    """
    if 0 < src_port < _PRIVILEGED:
        return dst_port >= _PRIVILEGED
    return _PRIVILEGED <= src_port < _EPHEMERAL <= dst_port


@lru_cache(maxsize=65_536)
def is_group(address: str) -> bool:
    """Multicast or broadcast as far as an address tells: nobody needs to answer."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return ip.is_multicast or (ip.version == 4 and address.endswith(".255"))

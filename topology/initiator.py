"""Which end initiated a connection, judged by its two ports or its ICMP type.

Services have well-known ports (below 1024, RFC 6335), or at least registered ones; clients are
given ports from 32768 (Linux) or 49152 (RFC 6335, others) on.
"""

from __future__ import annotations

PRIVILEGED = 1024
"""Below it, services listen and no client is given a port."""
EPHEMERAL = 32_768
"""From it on, clients are given ports at random."""


def looks_like_reply(src_port: int, dst_port: int) -> bool:
    """Whether a packet with these ports more likely comes from a server."""
    if 0 < src_port < PRIVILEGED:
        return dst_port >= PRIVILEGED
    return PRIVILEGED <= src_port < EPHEMERAL <= dst_port


def may_be_reply(src_port: int, dst_port: int) -> bool:
    """Whether a server could have sent a packet with these ports to a client; for callers with more
    evidence than ports."""
    return 0 < src_port < EPHEMERAL and dst_port >= PRIVILEGED


ANSWERS = {"icmp": {0: 8, 14: 13, 16: 15, 18: 17}, "icmpv6": {129: 128, 140: 139}}
"""ICMP types that answer, and the types that they answer to (RFC 792, 950, 4443, 4620)."""

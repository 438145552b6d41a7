"""Which end began a connection, where a recording does not say."""

from __future__ import annotations

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

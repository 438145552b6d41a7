"""Which live machine decision blocks a connection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from policies.model import Address, Connection, Restriction
from policies.semantics.address_sets import AddressSet

IsOnPort = Callable[[Address, Collection[tuple[int, int]]], bool]
"""Whether an address is bound on one of some ports (switch and number)."""


def blocking(
    restrictions: Iterable[Restriction],
    connection: Connection,
    now: float,
    protected: AddressSet,
    is_on: IsOnPort,
) -> int | None:
    """The number of the decision that blocks the connection; ``rate_limit`` never does.

    An isolated host still reaches ``protected`` addresses. A quarantine outranks an isolation,
    the responder's one of the initiator's; of several on one end, one of its port outranks one of
    its address, and then the one that lasts longest counts.
    """
    src, dst = connection.src, connection.dst
    found: list[tuple[int, bool, float, int]] = []
    for each in restrictions:
        if each.expires <= now or each.action == "rate_limit":
            continue
        ends = ((2, dst), (1, src)) if each.action == "quarantine" else ((0, src),)
        for rank, end in ends:
            by_port = bool(each.ports) and is_on(end, each.ports)
            if not by_port and end not in each.addresses:
                continue
            if rank or dst not in protected:
                found.append((rank, by_port, each.expires, each.number))
    return max(found)[3] if found else None

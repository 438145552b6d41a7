"""Which live machine decision blocks a connection."""

from __future__ import annotations

from collections.abc import Iterable

from policies.model import Connection, Restriction
from policies.semantics.address_sets import AddressSet


def blocking(
    restrictions: Iterable[Restriction], connection: Connection, now: float, protected: AddressSet
) -> int | None:
    """The number of the decision that blocks the connection; ``rate_limit`` never does.

    An isolated host still reaches ``protected`` addresses. A quarantine outranks an isolation,
    the responder's one of the initiator's, and of several on one end the one that lasts longest
    counts.
    """
    src, dst = connection.src, connection.dst
    found: list[tuple[int, float, int]] = []
    for each in restrictions:
        if each.expires > now:
            if each.action == "quarantine" and dst in each.addresses:
                found.append((2, each.expires, each.number))
            elif each.action == "quarantine" and src in each.addresses:
                found.append((1, each.expires, each.number))
            elif each.action == "isolate" and src in each.addresses:
                if dst not in protected:
                    found.append((0, each.expires, each.number))
    return max(found)[2] if found else None

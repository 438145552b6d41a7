"""ICMP errors in a recording: they pass with the connection that they are about."""

from __future__ import annotations

from policies.model import ICMP, ICMPV6, Connection
from policies.review.record_counting import RecordedTraffic

_ERRORS = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
"""Types about another packet: RFC 792 and RFC 4443."""


def is_icmp_error(connection: Connection) -> bool:
    return connection.port in _ERRORS.get(connection.proto, ())


class ErrorsOfConnections:
    """Finds what an error row of a log answers, by addresses: logs do not say it."""

    def __init__(self, traffic: RecordedTraffic) -> None:
        every = [connection for connection, _ in (*traffic.carried, *traffic.blocked)]
        wanted = {(id(c.dst), id(c.src)) for c in every if is_icmp_error(c)}
        self._causes: dict[tuple[int, int], Connection] = {}
        for connection in every if wanted else ():
            ends = (id(connection.src), id(connection.dst))
            if ends in wanted and not is_icmp_error(connection):
                self._causes.setdefault(ends, connection)

    def cause(self, connection: Connection) -> Connection:
        """The connection whose verdict holds for this one: of an error, one that was recorded the
        other way between the same addresses; else itself."""
        if not is_icmp_error(connection):
            return connection
        return self._causes.get((id(connection.dst), id(connection.src)), connection)

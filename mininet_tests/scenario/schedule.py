"""The requests of a benign day and their times, drawn from a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mininet_tests.scenario.scenario import Pattern


@dataclass(frozen=True, slots=True)
class Request:
    """One benign request, due ``at`` seconds after the day begins, to address ``ip``."""

    at: float
    pattern: str
    ask: str
    client: str
    server: str
    ip: str
    port: int
    key: str | None = None


def benign_day(
    patterns: Sequence[Pattern],
    addresses: Mapping[str, Sequence[str]],
    seed: int,
    seconds: float,
) -> tuple[Request, ...]:
    """Every request of a day of ``seconds``, by time.

    ``addresses`` are the hosts' own, by name; a request uses IPv6 now and then
    where both ends have it. Equal arguments give equal days.
    """
    day: list[Request] = []
    for pattern in patterns:
        for client in pattern.clients:
            # Each client has a stream of its own, so that editing one pattern leaves the others.
            draw = random.Random(f"{seed}/{pattern.name}/{client}")
            for at, server in _visits(pattern, client, draw, seconds):
                ip = _address(addresses[client], addresses[server], draw)
                day.append(
                    Request(
                        at, pattern.name, pattern.ask, client, server, ip, pattern.port, pattern.key
                    )
                )
    return tuple(sorted(day, key=lambda request: (request.at, request.client, request.pattern)))


def _visits(
    pattern: Pattern, client: str, draw: random.Random, seconds: float
) -> Iterator[tuple[float, str]]:
    servers = [server for server in pattern.servers if server != client]
    if pattern.every is not None:
        at = draw.uniform(0, pattern.every)
        while at < seconds:
            yield at, draw.choice(servers)
            at += draw.expovariate(1 / pattern.every)
        return
    pause = pattern.round or seconds
    start = draw.uniform(0, pause / 4)
    while start < seconds:
        at = start
        for server in draw.sample(servers, len(servers)):
            if at < seconds:
                yield at, server
            at += pattern.gap * draw.uniform(0.5, 1.5)
        start = max(at, start + pause * draw.uniform(0.8, 1.2))


def _address(own: Sequence[str], other: Sequence[str], draw: random.Random) -> str:
    six = [ip for ip in other if ":" in ip]
    four = [ip for ip in other if ":" not in ip]
    both_six = bool(six) and any(":" in ip for ip in own)
    wants_six = draw.random() < 0.4
    return six[0] if both_six and (wants_six or not four) else four[0]

"""Plain lists: one address, network or range a line, with comments.

Written as Spamhaus DROP (``192.0.2.0/24 ; SBL1``), FireHOL, Emerging Threats and blocklist.de
write them; ``192.0.2.1:443`` and ``[2001:db8::1]:443`` list one TCP port of an address.
"""

from __future__ import annotations

import re

from policies.model import Service
from response.feeds.entries import Entry, FeedReading, port_of, prefixes_of

_COMMENT = re.compile(r"\s*(?:#|;|//).*$")
_WITH_PORT = re.compile(r"^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9-]+)$")


def read_list(text: str) -> FeedReading:
    """The entries of a plain list; a line that is none is noted."""
    reading = FeedReading()
    for number, whole in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", whole).strip()
        if not line:
            continue
        try:
            address, service = _split(line)
            for prefix in prefixes_of(address):
                reading.add(Entry(number, prefix, service))
        except ValueError as problem:
            if type(problem) is not ValueError:
                raise
            reading.bad.add(number, line, str(problem))
    return reading


def _split(line: str) -> tuple[str, Service | None]:
    found = _WITH_PORT.match(line)
    if found is None:
        return line, None
    return found[1] or found[2], port_of(found[3])

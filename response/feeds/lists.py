"""Plain lists: one address, network or range a line, with comments.

Written as Spamhaus DROP (``192.0.2.0/24 ; SBL1``), FireHOL, Emerging Threats and blocklist.de write
them; ``192.0.2.1:443`` and ``[2001:db8::1]:443`` list one TCP port of an address. A count after a
tab, as IPsum writes it, is ignored.
"""

from __future__ import annotations

import re

from response.feeds.entries import Entry, FeedReading, endpoint_of, prefixes_of

_REMARK = re.compile(r"\s*(?:#|;|//).*$|\t[0-9]+\s*$")


def read_list(text: str) -> FeedReading:
    """The entries of a plain list; invalid lines are noted."""
    reading = FeedReading()
    for number, whole in enumerate(text.splitlines(), 1):
        line = _REMARK.sub("", whole).strip()
        if not line:
            continue
        try:
            address, service = endpoint_of(line)
            for prefix in prefixes_of(address):
                reading.add(Entry(number, prefix, service))
        except ValueError as problem:
            if type(problem) is not ValueError:
                raise
            reading.bad.add(number, line, str(problem))
    return reading

"""What each form of recording amounts to, read by name and as a stream."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path

from policies.review.recorded_traffic import RecordedTraffic, TrafficReader, traffic_of
from tests.support.recordings import FORMS, spoken
from topology.readers import RecordReader


def connections_of(traffic: RecordedTraffic) -> Counter[str]:
    """Who spoke to whom on what, and how often."""
    return Counter(
        {
            f"{each.src} {each.dst} {each.proto}/{each.port}": seen.connections
            for each, seen in traffic.carried
        }
    )


def answers(seed: int, folder: Path) -> dict[str, Counter[str]]:
    """The connections of one generated recording, as every form and way of reading has them."""
    connections = spoken(seed)
    found: dict[str, Counter[str]] = {}
    for name, write in FORMS.items():
        data = write(connections, random.Random(seed))
        path = folder / "recording"
        path.write_bytes(data)
        found[name] = connections_of(TrafficReader(path).read())
        stream = RecordReader("-", stdin=io.BytesIO(data))
        found[f"{name} as a stream"] = connections_of(traffic_of(stream))
    return found

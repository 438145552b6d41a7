"""Edges, the contacts of their ends, and the communication graph, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from detection.features.beaconing import BeaconTiming
from detection.snapshots.columns import (
    AMOUNT,
    EVENTS,
    HOUR,
    MOMENT,
    TEXT,
    ColumnReader,
    ColumnWriter,
    Lists,
    Numbers,
    Objects,
    References,
    TupleColumns,
    dictionaries,
)
from detection.snapshots.host_tables import TIMING
from detection.state.edges import FLOORS, WAYS, Contact, Edge, EdgeStore, Party
from detection.state.stored_values import MOST
from topology.graph import CommunicationGraph, ServiceEdge

LONG = 1 << 40  # hours, and edges of one outside host
CONTACT: dict[str, Any] = {"before": Numbers("<i8", 0, LONG), "hour": HOUR}
PAIRS = Lists(Objects(Contact, CONTACT))
PARTIES = dictionaries(TEXT, Objects(Party, CONTACT, {"users": 0, "edges": 0}))
TIMINGS = Lists(TIMING)
EDGE = Objects(
    Edge,
    {
        "way": Numbers("u1", 0, WAYS - 1), "pair": References("pairs"), "ts": MOMENT,
        "minute": AMOUNT, "hour": AMOUNT, "day": AMOUNT,
        **{f"{name}_limit": Numbers(low=floor, high=10 * MOST)
           for name, floor in zip(("minute", "hour", "day"), FLOORS, strict=True)},
        "minute_peak": AMOUNT, "hour_peak": AMOUNT, "day_peak": AMOUNT,
        "minute_since": MOMENT, "hour_since": MOMENT, "day_since": MOMENT,
        "second": MOMENT, "said": EVENTS, "timing": References("timings", may_be_none=True),
    },
    {"party": None},
)  # fmt: skip
EDGES = Lists(TupleColumns((TEXT, TEXT, EDGE)))
SERVICE_EDGE = Objects(
    ServiceEdge,
    {
        "service": TEXT, "first": MOMENT, "last": MOMENT, "count": EVENTS, "established": EVENTS,
        "denied": EVENTS, "would_deny": EVENTS, "failed": EVENTS, "bytes": EVENTS,
    },
)  # fmt: skip
GRAPH = Lists(TupleColumns((TEXT, TEXT, SERVICE_EDGE)))


def write_edges(
    store: EdgeStore, beacons: Iterable[BeaconTiming | None], out: ColumnWriter
) -> None:
    """``beacons`` are the timings that hosts refer to."""
    rows = store.rows()
    edges = [edge for _, _, edge in rows]
    pairs = out.refer("pairs", (edge.pair for edge in edges))
    timings = chain((edge.timing for edge in edges), beacons)
    PAIRS.write("pairs", [pairs], out)
    TIMINGS.write("timings", [out.refer("timings", (t for t in timings if t is not None))], out)
    PARTIES.write("parties", [store.parties], out)
    EDGES.write("edges", [rows], out)


def read_edges(source: ColumnReader, store: EdgeStore) -> None:
    """Into an empty store. Raises ValueError for what is no such table."""
    (source.objects["pairs"],) = PAIRS.read("pairs", 1, source)
    (source.objects["timings"],) = TIMINGS.read("timings", 1, source)
    (parties,) = PARTIES.read("parties", 1, source)
    (rows,) = EDGES.read("edges", 1, source)
    store.restore(rows, parties)


def write_graph(graph: CommunicationGraph, out: ColumnWriter) -> None:
    GRAPH.write("graph", [list(graph.edges(float("-inf")))], out)


def read_graph(source: ColumnReader, graph: CommunicationGraph) -> None:
    """Into an empty graph. Raises ValueError for what is no such table."""
    (rows,) = GRAPH.read("graph", 1, source)
    graph.restore(rows)

"""The live communication graph: who talks to whom, on which service, how it went.

It is kept as one table of service edges (client, server, service); a networkx ``DiGraph`` kept up
to date takes three times the memory, so :meth:`CommunicationGraph.snapshot` makes one on request.
The table is bounded: the least recently used service edge is removed first, and edges unused for
``max_age`` seconds are removed too.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from sys import intern
from typing import Any

import networkx as nx

from topology.records import FlowRecord

Key = tuple[str, str, str]


@dataclass(slots=True)
class ServiceEdge:
    """One client, one server, one service. Times in seconds since the epoch.

    ``count`` is connections begun, of which ``denied`` were dropped by policy,
    ``would_deny`` only recorded so, and ``failed`` got no or a refusing answer;
    ``bytes`` is both directions together.
    """

    service: str
    first: float
    last: float
    count: int = 0
    established: int = 0
    denied: int = 0
    would_deny: int = 0
    failed: int = 0
    bytes: int = 0


class CommunicationGraph:
    """Bounded graph of observed connections.

    ``max_edges`` counts service edges; ``max_age`` is in seconds. Time is that of
    the records and only moves forward.
    """

    def __init__(self, max_edges: int = 200_000, max_age: float = 7 * 86_400.0) -> None:
        if max_edges < 1 or max_age <= 0:
            raise ValueError("max_edges and max_age must be positive")
        self.max_edges = max_edges
        self.max_age = max_age
        self.aged_out = 0
        self.now = 0.0
        self._edges: OrderedDict[Key, ServiceEdge] = OrderedDict()

    def __len__(self) -> int:
        return len(self._edges)

    def observe(self, record: FlowRecord) -> ServiceEdge:
        """Count one record; returns its edge.

        ``start`` and ``whole`` count a connection, ``end`` only adds its outcome.
        """
        key = (record.src_ip, record.dst_ip, record.service)
        edge = self._edges.get(key)
        ts = record.ts
        if ts > self.now:
            self.now = ts
        if edge is None:
            edge = self._add(key, ts)
        else:
            self._edges.move_to_end(key)
            if ts > edge.last:
                edge.last = ts
        state = record.state
        if record.phase != "end":
            edge.count += 1
            if state == "denied" or record.verdict == "deny":
                edge.denied += 1
            elif record.verdict == "would-deny":
                edge.would_deny += 1
        if state is not None:
            if state == "established":
                edge.established += 1
            elif state != "denied":
                edge.failed += 1
        if record.phase != "start":
            edge.bytes += total_bytes(record)
        return edge

    def edge(self, src: str, dst: str, service: str) -> ServiceEdge | None:
        """The service edge, or None when it was never seen or has aged out."""
        return self._edges.get((src, dst, service))

    def edges(self, since: float = 0.0) -> Iterator[tuple[str, str, ServiceEdge]]:
        """All service edges used at or after ``since``, least recently used first."""
        for (src, dst, _), edge in self._edges.items():
            if edge.last >= since:
                yield src, dst, edge

    def of(self, address: str) -> Iterator[tuple[str, str, ServiceEdge]]:
        """Those that ``address`` is an end of, least recently used first; looks at all edges."""
        for (src, dst, _), edge in self._edges.items():
            if address == src or address == dst:
                yield src, dst, edge

    def restore(self, edges: Iterable[tuple[str, str, ServiceEdge]]) -> None:
        """Take the place of an empty graph. Raises ValueError for edges that are there twice, or
        too many."""
        rows = list(edges)
        self._edges = OrderedDict(((src, dst, edge.service), edge) for src, dst, edge in rows)
        if len(self._edges) != len(rows) or len(rows) > self.max_edges:
            raise ValueError("there are too many service edges, or one is there twice")

    def snapshot(self, since: float = 0.0) -> nx.DiGraph[str]:
        """A copy with plain data only: edge attributes ``services`` (name to counters),
        ``first``, ``last``, ``count``, ``established``, ``denied``, ``failed``, ``bytes``.
        """
        copy: nx.DiGraph[str] = nx.DiGraph()
        for src, dst, edge in self.edges(since):
            if not copy.has_edge(src, dst):
                copy.add_edge(
                    src,
                    dst,
                    services={},
                    first=edge.first,
                    last=edge.last,
                    **dict.fromkeys(_SUMMED, 0),
                )
            data = copy[src][dst]
            data["services"][edge.service] = asdict(edge)
            data["first"] = min(data["first"], edge.first)
            data["last"] = max(data["last"], edge.last)
            for name in _SUMMED:
                data[name] += getattr(edge, name)
        return copy

    def export(self, form: str, since: float = 0.0, labels: dict[str, str] | None = None) -> str:
        """The graph as ``graphml``, ``json`` (node-link) or ``dot`` text.

        ``labels`` gives addresses a name to show. Raises ValueError for another form.
        """
        return export_graph(self.snapshot(since), form, labels)

    def _add(self, key: Key, ts: float) -> ServiceEdge:
        # There is one text of each address and service, however many records name it.
        key = (intern(key[0]), intern(key[1]), intern(key[2]))
        edge = ServiceEdge(key[2], ts, ts)
        self._edges[key] = edge
        oldest = self.now - self.max_age
        while len(self._edges) > self.max_edges or (self._edges and self._front().last < oldest):
            self._drop_front()
        return edge

    def _front(self) -> ServiceEdge:
        return next(iter(self._edges.values()))

    def _drop_front(self) -> None:
        self._edges.popitem(last=False)
        self.aged_out += 1


_SUMMED = ("count", "established", "denied", "would_deny", "failed", "bytes")


def total_bytes(record: FlowRecord) -> int:
    """Bytes in both directions together, 0 where unknown."""
    if record.bytes is not None:
        return record.bytes
    return (record.bytes_out or 0) + (record.bytes_in or 0)


def export_graph(graph: nx.DiGraph[str], form: str, labels: dict[str, str] | None = None) -> str:
    """A snapshot as text; see :meth:`CommunicationGraph.export`."""
    names = labels or {}
    if form == "json":
        nodes = [{"id": node, "label": names.get(node, node)} for node in graph.nodes]
        edges = [{"source": s, "target": d, **data} for s, d, data in graph.edges(data=True)]
        return json.dumps({"directed": True, "nodes": nodes, "edges": edges}, indent=1)
    if form == "graphml":
        return "\n".join(nx.generate_graphml(_flat(graph, names)))
    if form == "dot":
        return _dot(graph, names)
    raise ValueError(f"unknown graph format {form!r}: use graphml, json or dot")


def _flat(graph: nx.DiGraph[str], names: dict[str, str]) -> nx.DiGraph[str]:
    """Replace nested values, which GraphML lacks: services become one space-separated string."""
    flat: nx.DiGraph[str] = nx.DiGraph()
    for node in graph.nodes:
        flat.add_node(node, label=names.get(node, node))
    for src, dst, data in graph.edges(data=True):
        values: dict[str, Any] = {**data, "services": " ".join(sorted(data["services"]))}
        flat.add_edge(src, dst, **values)
    return flat


def _dot(graph: nx.DiGraph[str], names: dict[str, str]) -> str:
    lines = ["digraph septum {", "  rankdir=LR;"]
    for node in graph.nodes:
        lines.append(f"  {_quoted(node)} [label={_quoted(names.get(node, node))}];")
    for src, dst, data in graph.edges(data=True):
        label = _quoted(" ".join(sorted(data["services"])))
        style = ", style=dashed" if data["denied"] == data["count"] else ""
        lines.append(f"  {_quoted(src)} -> {_quoted(dst)} [label={label}{style}];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

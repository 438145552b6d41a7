from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.graph import CommunicationGraph
from topology.records import FlowRecord


def flow(ts: float, src: str = "10.0.0.1", dst: str = "10.0.0.2", **more: object) -> FlowRecord:
    values: dict[str, object] = {"proto": "tcp", "dst_port": 80, **more}
    return FlowRecord(ts=ts, src_ip=src, dst_ip=dst, **values)  # type: ignore[arg-type]


def test_start_and_end_are_one_connection() -> None:
    graph = CommunicationGraph()
    graph.observe(flow(1.0, phase="start", verdict="allow"))
    graph.observe(flow(1.0, phase="end", state="established", bytes_out=100, bytes_in=900))
    edge = graph.edge("10.0.0.1", "10.0.0.2", "tcp/80")
    assert edge is not None
    assert (edge.count, edge.established, edge.failed, edge.bytes) == (1, 1, 0, 1000)


def test_denied_and_failed_are_kept_apart() -> None:
    graph = CommunicationGraph()
    graph.observe(flow(1.0, phase="start", state="denied", verdict="deny"))
    graph.observe(flow(2.0, state="rejected"))
    graph.observe(flow(3.0, verdict="would-deny", phase="start"))
    edge = graph.edge("10.0.0.1", "10.0.0.2", "tcp/80")
    assert edge is not None
    assert (edge.count, edge.denied, edge.failed, edge.would_deny) == (3, 1, 1, 1)
    assert (edge.first, edge.last) == (1.0, 3.0)


def test_services_share_one_edge_of_a_snapshot() -> None:
    graph = CommunicationGraph()
    graph.observe(flow(1.0))
    graph.observe(flow(2.0, dst_port=443))
    copy = graph.snapshot()
    assert list(copy.edges) == [("10.0.0.1", "10.0.0.2")]
    assert set(copy["10.0.0.1"]["10.0.0.2"]["services"]) == {"tcp/80", "tcp/443"}


def test_old_edges_age_out_and_take_their_nodes_along() -> None:
    graph = CommunicationGraph(max_age=100.0)
    graph.observe(flow(0.0))
    graph.observe(flow(200.0, src="10.0.0.3", dst="10.0.0.4"))
    assert set(graph.snapshot().nodes) == {"10.0.0.3", "10.0.0.4"}
    assert graph.aged_out == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=80
    )
)
def test_bounded_and_consistent_whatever_comes(pairs: list[tuple[int, int, int]]) -> None:
    graph = CommunicationGraph(max_edges=7)
    for ts, (src, dst, port) in enumerate(pairs):
        graph.observe(flow(float(ts), f"10.0.0.{src}", f"10.0.1.{dst}", dst_port=port))
    kept = {(s, d, e.service) for s, d, e in graph.edges()}
    assert len(graph) == len(kept) <= 7
    copy = graph.snapshot()
    assert {(s, d, n) for s, d, data in copy.edges(data=True) for n in data["services"]} == kept
    assert all(copy.degree(node) > 0 for node in copy.nodes)
    for node in copy.nodes:
        assert {(s, d, e.service) for s, d, e in graph.of(node)} == {
            (s, d, n) for s, d, n in kept if node in (s, d)
        }


def test_exports_parse_and_hold_every_edge() -> None:
    graph = CommunicationGraph()
    graph.observe(flow(1.0, phase="start", state="denied"))
    graph.observe(flow(2.0, src='x"y', dst="10.0.0.9", bytes=7))
    data = json.loads(graph.export("json"))
    assert {(e["source"], e["target"]) for e in data["edges"]} == {
        ("10.0.0.1", "10.0.0.2"),
        ('x"y', "10.0.0.9"),
    }
    root = ET.fromstring(graph.export("graphml", labels={"10.0.0.1": "web1"}))
    assert len(root.findall(".//{*}edge")) == 2
    assert "web1" in graph.export("graphml", labels={"10.0.0.1": "web1"})
    dot = graph.export("dot")
    assert '"10.0.0.1" -> "10.0.0.2" [label="tcp/80", style=dashed];' in dot
    assert '"x\\"y"' in dot
    with pytest.raises(ValueError, match="graphml, json or dot"):
        graph.export("png")


def test_a_record_older_than_all_that_is_remembered_is_not_kept() -> None:
    graph = CommunicationGraph(max_age=100.0)
    graph.now = 1000.0
    assert graph.observe(flow(1.0)).count == 1
    assert len(graph) == 0
    graph.observe(flow(1001.0))
    assert len(graph) == 1


def test_since_leaves_out_what_is_older() -> None:
    graph = CommunicationGraph()
    graph.observe(flow(1.0))
    graph.observe(flow(9.0, dst="10.0.0.3"))
    assert set(graph.snapshot(since=5.0).edges) == {("10.0.0.1", "10.0.0.3")}


def test_limits_must_make_sense() -> None:
    with pytest.raises(ValueError):
        CommunicationGraph(max_edges=0)

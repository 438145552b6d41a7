"""Logs in the order of ends: a hop is judged by when it began."""

from __future__ import annotations

from detection.detector import Detector
from tests.support.traffic.office import CLIENTS, T0, WEB
from topology.records import FlowRecord


def session(begun: float, src: str, dst: str) -> FlowRecord:
    return FlowRecord(
        ts=begun, src_ip=src, dst_ip=dst, proto="tcp", dst_port=22, state="established",
        duration=30.0, packets=100, bytes=9_000,
    )  # fmt: skip


def test_nobody_goes_on_from_an_arrival_that_began_later() -> None:
    detector = Detector()
    detector.step(session(T0 + 100.0, CLIENTS[0], WEB[0]))
    detector.step(session(T0 + 10.0, WEB[0], WEB[1]))  # begun before, ended after
    host = detector.host_registry.hosts[WEB[0]]
    assert host.chain is None
    detector.step(session(T0 + 110.0, WEB[0], WEB[2]))
    assert host.chain is not None
    assert [hop.ts for hop in host.chain.path] == [T0 + 100.0, T0 + 110.0]

"""Connections as people read them: a line or a JSON object each, with what decided and why."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from console.clients.state_directory import moment
from console.options.policy import count
from console.terminal import one_line
from response.state.interfaces import StoredFlow
from topology.records import DroppedSource, FlowRecord

UNUSUAL = 0.99  # a score of s is above a share s of what hosts do


@dataclass(frozen=True, slots=True)
class FlowNames:
    """``hosts`` are names by address; ``alerts`` are ids of alerts by `flow_key` of the records
    that they rest on."""

    hosts: Mapping[str, str]
    alerts: Mapping[tuple[object, ...], str]

    def of(self, address: str) -> str:
        name = self.hosts.get(address)
        return address if name is None else f"{name} ({address})"


def flow_key(record: FlowRecord) -> tuple[object, ...]:
    """What a connection's start and end have in common."""
    return (record.ts, record.src_ip, record.dst_ip, record.proto, record.src_port, record.dst_port)


def flow_data(number: int, flow: StoredFlow) -> dict[str, Any]:
    decided = flow.record.decided_by
    by = {} if decided is None else {"decided_by": decided[0]}
    return {"row": number, **flow.record.known(), **by, "score": flow.score}


def spoof_data(seen: DroppedSource) -> dict[str, Any]:
    """Under the names of a connection, as far as they apply."""
    return {
        "row": None, "ts": seen.ts, "src_ip": seen.ip, "dst_ip": None, "proto": None,
        "src_mac": seen.mac, "switch": seen.switch, "in_port": seen.port, "packets": seen.packets,
        "verdict": "deny", "decided_by": "spoof", "reason": seen.reason, "score": None,
    }  # fmt: skip


def flow_line(flow: StoredFlow, names: FlowNames) -> str:
    record = flow.record
    ends = f"{names.of(record.src_ip)} -> {names.of(record.dst_ip)}"
    alert = names.alerts.get(flow_key(record))
    return one_line(
        f"{moment(record.ts)}  {ends:<44}  {record.service:<11}  {_verdict(record):<28}"
        f"  {score_words(flow.score, alert)}"
    ).rstrip()


def spoof_line(seen: DroppedSource, names: FlowNames) -> str:
    sender = names.of(seen.ip) if seen.ip else seen.mac
    place = f"{sender} on switch {seen.switch} port {seen.port}"
    dropped = count(seen.packets, "packet")
    return one_line(f"{moment(seen.ts)}  {place:<44}  {dropped:<11}  deny (spoof: {seen.reason})")


def cause_of(record: FlowRecord) -> str:
    """What the verdict rests on: ``default``, ``decision d3``; empty without a verdict."""
    return " ".join(record.decided_by or ()).strip()


def _verdict(record: FlowRecord) -> str:
    cause = cause_of(record)
    return f"{record.verdict} ({cause})" if cause else record.verdict or "-"


def score_words(score: float | None, alert: str | None = None) -> str:
    """A score for the eye: never rounded up to 1, and what it means where it is high."""
    if alert is not None:
        return f"alert {alert}"
    if score is None:
        return ""
    if score >= 1.0:
        return "highest yet, no alert"
    shown = f"{math.floor(score * 10_000) / 10_000:.4f}"
    return f"{shown} unusual, no alert" if score >= UNUSUAL else shown


def counted(
    flows: Iterable[StoredFlow], spoofs: Collection[DroppedSource]
) -> list[tuple[str, str, int, str]]:
    """Verdict, what it rests on, how many and of what; most frequent first within a verdict."""
    sums: dict[tuple[str, str], int] = {}
    for flow in flows:
        key = flow.record.verdict or "-", cause_of(flow.record)
        sums[key] = sums.get(key, 0) + 1
    rows = [(*key, number, "connection") for key, number in sums.items()]
    reasons: dict[str, int] = {}
    for seen in spoofs:
        reasons[seen.reason] = reasons.get(seen.reason, 0) + seen.packets
    rows += [("deny", f"spoof: {reason}", n, "packet") for reason, n in reasons.items()]
    return sorted(rows, key=lambda row: (row[0], -row[2], row[1]))

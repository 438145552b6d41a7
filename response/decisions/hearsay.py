"""Evidence that anybody could have sent: flow exports, which nothing authenticates."""

from __future__ import annotations

from collections.abc import Iterable

from policies.model import Envelope
from topology.records import FlowRecord


def hearsay_of(evidence: Iterable[FlowRecord], envelope: Envelope | None) -> tuple[str, ...]:
    """The exporters on whose word an alert rests, in order; none where more than half of its
    evidence comes from switches, or from exporters that the policy trusts.

    A few records of everyday traffic that a switch has seen too do not make hearsay evidence.
    """
    trusted = set(map(str, envelope.trusted_exporters)) if envelope is not None else set()
    told = [record.exporter for record in evidence]
    doubtful = [each for each in told if each is not None and each not in trusted]
    return tuple(sorted(set(doubtful))) if 2 * len(doubtful) >= max(1, len(told)) else ()

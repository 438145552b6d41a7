"""Readers that turn recorded traffic into flow records, one at a time."""

from __future__ import annotations

from topology.readers.contract import RecordReader, TrafficError, read_records

__all__ = ["RecordReader", "TrafficError", "read_records"]

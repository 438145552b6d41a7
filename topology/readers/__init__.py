"""Readers that turn recorded traffic into flow records, one at a time."""

from __future__ import annotations

from topology.readers.reader import FORMS, RecordReader, read_records
from topology.readers.row_count import RowProblem, TrafficError

__all__ = ["FORMS", "RecordReader", "RowProblem", "TrafficError", "read_records"]

"""Records made quickly are the records that their class would make."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.making import changed, record_of
from topology.records import FlowRecord

WORDS = st.text(max_size=5)
NUMBERS = st.none() | st.integers(0, 2**32)


@given(st.floats(0, 1e9), WORDS, WORDS, NUMBERS, st.floats(0, 1e6))
def test_a_record_made_or_changed_is_as_its_class_says(
    ts: float, src: str, dst: str, count: int | None, duration: float
) -> None:
    made = record_of(ts, src, dst, "tcp", bytes_in=count)
    assert made == FlowRecord(ts, src, dst, "tcp", bytes_in=count)
    assert hash(made) == hash(FlowRecord(ts, src, dst, "tcp", bytes_in=count))
    later = changed(made, phase="end", duration=duration)
    assert later == replace(made, phase="end", duration=duration)
    assert made.phase == "whole"


def test_it_is_frozen() -> None:
    for record in (record_of(1.0, "a", "b", "tcp"), changed(record_of(1.0, "a", "b", "tcp"))):
        with pytest.raises(FrozenInstanceError):
            record.ts = 2.0  # type: ignore[misc]


def test_what_a_record_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError):
        record_of(1.0, "a", "b")
    with pytest.raises(AttributeError):
        changed(record_of(1.0, "a", "b", "tcp"), colour="red")

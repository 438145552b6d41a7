"""The state of River's statistics as plain data, and statistics made of it again.

A running quantile is Rust; its state is 21 numbers, a count and a flag. Those that the quantile
asked for does not determine are stored, and checked, for its code trusts them.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any

from msgspec import Meta, Struct
from river import stats

from detection.state.stored_values import VAST, Amount, Number

Weight = Annotated[float, Meta(ge=0.0, le=VAST)]
MeanValues = tuple[Weight, Amount]
"""Sum of weights, mean."""

_Five = tuple[Number, Number, Number, Number, Number]
_Weights = tuple[Weight, Weight, Weight, Weight, Weight]
_RUST = struct.Struct("<21d2B")  # quantile, increments, wanted, markers, heights; count, sorted
_MARKERS = 5


class QuantileValues(Struct, frozen=True, array_like=True):
    """P-square: ``wanted`` and real places of the five markers, and their heights, of which
    ``count`` are filled. ``ready`` once there were more than five values."""

    wanted: _Weights
    markers: _Weights
    heights: _Five
    count: Annotated[int, Meta(ge=0, le=_MARKERS)]
    ready: bool


def mean_values(mean: stats.Mean) -> MeanValues:
    return mean.n, mean.get()


def restored_mean(values: MeanValues) -> stats.Mean:
    return stats.Mean._from_state(*values)


def quantile_values(quantile: stats.Quantile) -> QuantileValues:
    inner: Any = quantile._quantile
    *numbers, count, ready = _RUST.unpack(inner.__getstate__())
    wanted, markers, heights = (tuple(numbers[i : i + _MARKERS]) for i in (6, 11, 16))
    return QuantileValues(wanted, markers, heights, count, bool(ready))


def restored_quantile(level: float, values: QuantileValues) -> stats.Quantile:
    """Raises ValueError for values that no quantile has come to."""
    quantile = stats.Quantile(level)
    inner: Any = quantile._quantile
    fresh = _RUST.unpack(inner.__getstate__())
    markers, heights = values.markers, values.heights
    if values.ready:
        whole = all(place == int(place) for place in markers) and markers[0] == 1.0
        if not whole or values.count != _MARKERS or not _rise(markers) or _fall(heights):
            raise ValueError("a quantile's markers are not in order")
    elif (*values.wanted, *markers) != fresh[6:16]:
        raise ValueError("a quantile's markers moved before there were five values")
    inner.__setstate__(
        _RUST.pack(*fresh[:6], *values.wanted, *markers, *heights, values.count, values.ready)
    )
    quantile._is_updated = values.count > 0
    return quantile


def _rise(places: _Weights) -> bool:
    return all(a < b for a, b in zip(places, places[1:], strict=False))


def _fall(heights: _Five) -> bool:
    return any(a > b for a, b in zip(heights, heights[1:], strict=False))

"""River's Bayesian linear regression as plain data, checked before it is used again."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

MOST_FEATURES = 256
LARGEST = 1e9  # number in a matrix; far above what rewards add up to
ROUNDING = 1e-6  # below zero that a variance may be by rounding

Array = np.ndarray[Any, np.dtype[np.float64]]
_Name = Annotated[str, Meta(max_length=100)]


class RegressionValues(Struct, frozen=True, array_like=True):
    """``features`` in the order of the rows; the arrays are float64, row by row, for ``room``
    features (more than there are, so that new ones fit)."""

    features: Annotated[list[_Name], Meta(max_length=MOST_FEATURES)]
    room: Annotated[int, Meta(ge=0, le=MOST_FEATURES)]
    precision: bytes
    covariance: bytes
    natural_mean: bytes
    mean: bytes
    mean_is_old: bool


def regression_values(model: Any) -> RegressionValues:
    """Of a `river.linear_model.BayesianLinearRegression`."""
    return RegressionValues(
        list(model._idx),
        model._cap,
        model._ss_arr.tobytes(),
        model._ss_inv_arr.tobytes(),
        model._eta_arr.tobytes(),
        model._m_arr.tobytes(),
        model._m_dirty,
    )


def restore_regression(model: Any, values: RegressionValues) -> None:
    """Into a new one. Raises ValueError for arrays of another size, numbers out of bounds, and
    matrices that make a variance negative."""
    names, room = values.features, values.room
    if len(set(names)) != len(names) or len(names) > room:
        raise ValueError("a feature is there twice, or one has no row")
    covariance = _array(values.covariance, room, room)
    if room and np.linalg.eigvalsh((covariance + covariance.T) / 2.0)[0] < -ROUNDING:
        raise ValueError("a variance is negative")
    model._idx = {name: row for row, name in enumerate(names)}
    model._cap = room
    model._ss_arr = _array(values.precision, room, room)
    model._ss_inv_arr = np.asfortranarray(covariance)
    model._eta_arr = _array(values.natural_mean, room)
    # A mean that does not cover all features is that of before they came: it is worked out anew.
    known = len(values.mean) == 8 * room
    model._m_arr = _array(values.mean, room) if known else np.zeros(0)
    model._m_dirty = values.mean_is_old or not known


def _array(data: bytes, *shape: int) -> Array:
    if len(data) != 8 * np.prod(shape, dtype=int):
        raise ValueError("an array of another size")
    found = np.frombuffer(data, "<f8")
    if found.size and not np.abs(found).max() <= LARGEST:
        raise ValueError("a number out of bounds")
    return found.reshape(shape).copy()

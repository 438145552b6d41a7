"""Values of a stored state: numbers within bounds that keep every later computation finite.

A state that is read back may come from anywhere. Bounds are far above what a network brings, and
far below what a logarithm, an exponential or a sum of squares cannot take.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MOST = 1e9
"""Of a count that fades, a mean of counts, a feature's value."""

VAST = 1e20
"""Of times (seconds), and sums of weights."""

MOST_BYTES = 1e30

LONGEST_TEXT = 4096
MOST_EVENTS = (1 << 63) - 1

Moment = Annotated[float, Meta(ge=-VAST, le=VAST)]
Amount = Annotated[float, Meta(ge=0.0, le=MOST)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Number = Annotated[float, Meta(ge=-MOST, le=MOST)]
Events = Annotated[int, Meta(ge=0, le=MOST_EVENTS)]
Hour = Annotated[int, Meta(ge=-MOST_EVENTS, le=MOST_EVENTS)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]

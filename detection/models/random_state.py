"""The state of Python's random numbers (Mersenne twister) as plain data."""

from __future__ import annotations

import random
import struct

from msgspec import Struct

from detection.state.stored_values import Number

_WORDS = struct.Struct("<625I")  # the generator's, and its place among them
_LAST_PLACE = 624
_TOP_BIT = 1 << 31


class RandomState(Struct, frozen=True, array_like=True):
    words: bytes
    gauss: Number | None = None


def random_state(rng: random.Random) -> RandomState:
    _, words, gauss = rng.getstate()
    return RandomState(_WORDS.pack(*words), gauss)


def restored_random(state: RandomState) -> random.Random:
    """Raises ValueError for a state that no generator gets into: one of zeros stays there, and
    whoever draws distinct numbers from it never ends."""
    if len(state.words) != _WORDS.size:
        raise ValueError("random numbers of another size")
    *words, place = _WORDS.unpack(state.words)
    if place > _LAST_PLACE or not (words[0] & _TOP_BIT or any(words[1:])):
        raise ValueError("random numbers in a state that there is not")
    rng = random.Random(0)
    rng.setstate((3, (*words, place), state.gauss))
    return rng

"""Snapshots of a detector: what was learned, as bytes, and back.

The bytes are a pickle behind a header. Reading admits only the classes that a
detector is made of, so that a damaged or foreign file cannot run anything.
"""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any

FAMILY = b"septum-detector-"
HEADER = FAMILY + b"5\n"
ROOMS = ("detection.", "topology.", "river.", "networkx.")
PLAIN = {
    ("collections", "OrderedDict"),
    ("collections", "deque"),
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "tuple"),
    ("ipaddress", "IPv4Network"),
    ("ipaddress", "IPv6Network"),
    ("ipaddress", "IPv4Address"),
    ("ipaddress", "IPv6Address"),
    ("random", "Random"),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in PLAIN or f"{module}.".startswith(ROOMS):
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a detector snapshot")


def dump(detector: object) -> bytes:
    return HEADER + zlib.compress(pickle.dumps(detector, protocol=5), level=1)


def load(data: bytes) -> object:
    """Raises ValueError when the bytes are not a snapshot of this version."""
    if not data.startswith(HEADER):
        if data.startswith(FAMILY):
            raise ValueError("its snapshot is of another version of Septum")
        raise ValueError("not a detector snapshot")
    try:
        return _Reader(io.BytesIO(zlib.decompress(data[len(HEADER) :]))).load()
    except Exception as problem:
        raise ValueError(f"damaged detector snapshot: {problem}") from None

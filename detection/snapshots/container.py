"""The outside of every stored model: a header with a version, then compressed msgpack.

Reading is bounded before anything is taken in: the size of the bytes, and what they unpack to.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TypeVar

import msgspec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SnapshotFormat:
    """``name`` and ``whose`` are for what is said of bytes that cannot be used; ``limit`` is the
    most that they may unpack to."""

    family: bytes
    version: int
    name: str
    whose: str
    limit: int

    @property
    def header(self) -> bytes:
        return self.family + b"%d\n" % self.version

    def pack(self, value: object) -> bytes:
        return self.header + zlib.compress(msgspec.msgpack.encode(value), level=1)

    def unpack(self, data: bytes, shape: type[T]) -> T:
        """Raises ValueError for bytes that `pack` has not made of such a value."""
        if not data.startswith(self.header):
            if data.startswith(self.family):
                raise ValueError(f"{self.whose} snapshot is of another version of Septum")
            raise ValueError(f"not a {self.name}")
        try:
            return msgspec.msgpack.decode(self._unpacked(data[len(self.header) :]), type=shape)
        except (ValueError, RecursionError, zlib.error) as problem:
            raise self.damaged(problem) from None

    def damaged(self, problem: Exception) -> ValueError:
        return ValueError(f"damaged {self.name}: {' '.join(str(problem).split())}")

    def _unpacked(self, packed: bytes) -> bytes:
        unpack = zlib.decompressobj()
        raw = unpack.decompress(packed, self.limit + 1)
        if len(raw) > self.limit:
            raise ValueError(f"larger than {self.limit >> 20} MiB")
        if not unpack.eof:
            raise ValueError("cut short")
        if unpack.unused_data:
            raise ValueError("more follows its end")
        return raw

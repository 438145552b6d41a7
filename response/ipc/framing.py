"""Messages as bytes: a four-byte big-endian length, then a msgpack list ``[name, field, …]``.

Both processes of one controller, and the command line, speak this. The reader
trusts nothing: a frame that is too long, is not msgpack or does not have the
fields of its message raises `FramingError`, and the connection is to be closed.
"""

from __future__ import annotations

import dataclasses
import struct
import types
import typing
from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

import msgpack  # type: ignore[import-untyped, unused-ignore]

from response.ipc import messages as m
from topology.making import record_of
from topology.records import FlowRecord

MAX_FRAME = 4 * 1024 * 1024
"""Bytes of one message's body; a few thousand records fit, a runaway peer does not."""

AnyMessage = m.Message | m.Reply | m.Ask | m.Answer

_LENGTH = struct.Struct(">I")
_Convert = Callable[[Any], Any]


class FramingError(ValueError):
    """Bytes that are no message; the stream cannot be trusted after it."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """How one dataclass is written as a list and read back, worked out once.

    ``make`` is what reads it back, called with the fields in order; ``checks`` gives each field
    its allowed plain types; ``nested`` the fields that hold other dataclasses, or tuples, with how
    to write and read them.
    """

    cls: type[Any]
    make: Callable[..., Any]
    fields: Callable[[Any], Any]
    checks: tuple[frozenset[type], ...]
    nested: tuple[tuple[int, _Convert, _Convert], ...]
    passed: set[tuple[type, ...]] = dataclasses.field(default_factory=set)

    def dump(self, value: Any) -> list[Any]:
        row = list(self.fields(value))
        for index, write, _ in self.nested:
            row[index] = write(row[index])
        return row

    def load(self, row: Any) -> Any:
        if type(row) is not list or len(row) != len(self.checks):
            raise FramingError(f"{self.cls.__name__} needs {len(self.checks)} fields")
        # Records come by the thousand in a handful of combinations of types.
        kinds = tuple(map(type, row))
        if kinds not in self.passed:
            if not all(map(frozenset.__contains__, self.checks, kinds)):
                raise FramingError(f"{self.cls.__name__} has a field of the wrong type")
            if len(self.passed) < 256:
                self.passed.add(kinds)
        for index, _, read in self.nested:
            row[index] = read(row[index])
        return self.make(*row)


def _shape(cls: type[Any]) -> _Shape:
    if cls in _SHAPES:
        return _SHAPES[cls]
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    checks: list[frozenset[type]] = []
    nested: list[tuple[int, _Convert, _Convert]] = []
    for index, name in enumerate(names):
        plain, pair = _field(hints[name])
        checks.append(frozenset(plain))
        if pair is not None:
            nested.append((index, *pair))
    # attrgetter of one name gives the value itself, not a tuple of one
    getter = attrgetter(*names)
    fields = getter if len(names) > 1 else lambda value: (getter(value),)
    make = record_of if cls is FlowRecord else cls
    _SHAPES[cls] = _Shape(cls, make, fields, tuple(checks), tuple(nested))
    return _SHAPES[cls]


_SHAPES: dict[type[Any], _Shape] = {}


def _field(hint: Any) -> tuple[set[type], tuple[_Convert, _Convert] | None]:
    """The plain types a field may have on the wire, and its conversion if it needs one."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        plain: set[type] = set()
        for part in typing.get_args(hint):
            types_of_part, pair = _field(part)
            if pair is not None:
                raise TypeError(f"no union of composed values on the wire: {hint}")
            plain |= types_of_part
        return plain, None
    if origin is typing.Literal:
        return {type(value) for value in typing.get_args(hint)}, None
    if origin is tuple:
        item, ellipsis = typing.get_args(hint)
        if ellipsis is not Ellipsis:
            raise TypeError(f"only tuples of one kind on the wire: {hint}")
        return {list}, _sequence(item)
    if dataclasses.is_dataclass(hint):
        shape = _shape(cast("type[Any]", hint))
        return {list}, (shape.dump, shape.load)
    if hint is float:
        return {float, int}, None
    if hint in (int, str, bool, bytes):
        return {hint}, None
    if hint is type(None):
        return {type(None)}, None
    raise TypeError(f"no wire form for {hint}")


def _sequence(item: Any) -> tuple[_Convert, _Convert]:
    if dataclasses.is_dataclass(item):
        shape = _shape(cast("type[Any]", item))
        return (lambda values: [shape.dump(v) for v in values]), (
            lambda rows: tuple([shape.load(row) for row in rows])
        )
    plain, pair = _field(item)
    if pair is not None:
        raise TypeError(f"no tuples of tuples on the wire: {item}")

    def read(values: list[Any]) -> tuple[Any, ...]:
        if any(type(value) not in plain for value in values):
            raise FramingError("a list has an entry of the wrong type")
        return tuple(values)

    return list, read


_BY_NAME: dict[str, _Shape] = {cls.__name__: _shape(cls) for cls in typing.get_args(AnyMessage)}


def encode(message: AnyMessage) -> bytes:
    """One message as a frame. Raises `FramingError` when it is larger than `MAX_FRAME`."""
    cls = type(message)
    body = cast("bytes", msgpack.packb([cls.__name__, *_SHAPES[cls].dump(message)]))
    if len(body) > MAX_FRAME:
        raise FramingError(f"{cls.__name__} of {len(body)} bytes is over {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Frames out of a byte stream, however it was cut up.

    >>> decoder = Decoder()
    >>> data = encode(m.Answer(True, "done"))
    >>> decoder.feed(data[:3]), decoder.feed(data[3:])
    ([], [Answer(ok=True, text='done')])
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max = max_frame
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame held back."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[AnyMessage]:
        """All messages that are complete now, in order; raises `FramingError`."""
        buffer = self._buffer
        buffer += data
        found: list[AnyMessage] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self._max:
                raise FramingError(f"a frame of {length} bytes is over {self._max}")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            found.append(_decode(bytes(buffer[start + _LENGTH.size : end])))
            start = end
        del buffer[:start]
        return found


def _decode(body: bytes) -> AnyMessage:
    try:
        row = msgpack.unpackb(body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as problem:
        raise FramingError(f"not msgpack: {problem}") from None
    if type(row) is not list or not row or type(row[0]) is not str or row[0] not in _BY_NAME:
        raise FramingError("no such message")
    return cast("AnyMessage", _BY_NAME[row[0]].load(row[1:]))

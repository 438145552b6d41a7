"""Messages as bytes: a four-byte big-endian length, then the message as msgpack.

Both processes of one controller, and the command line, use this. Nothing that is read is trusted:
a frame that is too long, is not msgpack or is not one of `AnyMessage`, field by field, raises
`FramingError`, and the connection is to be closed. What is written is cut so that it fits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec

from response.ipc import messages as m

MAX_FRAME = 64 * 1024 * 1024
"""Bytes of one message's body: the largest feed fits, or all bindings of half a million hosts; a
runaway peer does not."""

MAX_PART = 1024 * 1024
"""Bytes of a message whose items may as well come in several: about three thousand records."""

AnyMessage = (
    m.Message | m.Reply | m.Beside | m.Ask | m.FlowsCollected | m.Answer
    | m.ProofWanted | m.ProofFound
)  # fmt: skip

_ITEMS: dict[type, str] = {
    m.RecordsSeen: "records",
    m.SpoofsSeen: "spoofs",
    m.PolicyEvents: "events",
}
"""The messages that may be cut, and what of them is shared out."""

_LENGTH = struct.Struct(">I")
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


class FramingError(ValueError):
    """Bytes that are no message; the stream cannot be trusted after it."""


@dataclass(frozen=True, slots=True)
class Framed:
    """A message as ``data`` to send: one or more frames, and what of it no frame can hold."""

    data: bytes
    left_out: tuple[AnyMessage, ...] = ()


def framed(message: AnyMessage) -> Framed:
    """A message in frames that fit, cut in halves where it may be until they do.

    What is left is a single item that is no frame however it is cut: one value is larger than
    `MAX_FRAME`, or is none that msgpack has.
    """
    try:
        data = encode(message)
        problem = False
    except FramingError:
        data, problem = b"", True
    if not problem and len(data) <= MAX_PART:
        return Framed(data)
    halves = _halves(message)
    if halves is None:
        return Framed(b"", (message,)) if problem else Framed(data)
    first, second = map(framed, halves)
    return Framed(first.data + second.data, first.left_out + second.left_out)


def _halves(message: AnyMessage) -> tuple[AnyMessage, AnyMessage] | None:
    """The message in two, None where it cannot be cut; of records, the first tells the gap."""
    name = _ITEMS.get(type(message))
    items = () if name is None else getattr(message, name)
    if name is None or len(items) < 2:
        return None
    middle = len(items) // 2
    first = msgspec.structs.replace(message, **{name: items[:middle]})
    rest = {"lost": 0} if isinstance(message, m.RecordsSeen) else {}
    return first, msgspec.structs.replace(message, **{name: items[middle:]}, **rest)


def encode(message: AnyMessage) -> bytes:
    """One message as a frame. Raises `FramingError` when it is larger than `MAX_FRAME`, or holds
    a number or a text that msgpack has not."""
    try:
        body = _ENCODER.encode(message)
    except (ValueError, OverflowError) as problem:
        raise FramingError(f"{type(message).__name__}: {problem}") from None
    if len(body) > MAX_FRAME:
        raise FramingError(f"{type(message).__name__} of {len(body)} bytes is over {MAX_FRAME}")
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
        """All messages that are complete now, in order.

        Raises `FramingError`, which names the path of the value that is wrong
        (``Expected `float`, got `str` - at `$.records[3].ts` ``).
        """
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
            try:
                found.append(_DECODER.decode(buffer[start + _LENGTH.size : end]))
            except (ValueError, RecursionError) as problem:
                raise FramingError(f"no message: {problem}") from None
            start = end
        del buffer[:start]
        return found

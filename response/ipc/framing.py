"""Messages as bytes: a four-byte big-endian length, then the message as msgpack.

Both processes of one controller, and the command line, use this. Nothing that is read is trusted:
a frame that is too long, is not msgpack or is not one of `AnyMessage`, field by field, raises
`FramingError`, and the connection is to be closed.
"""

from __future__ import annotations

import struct

import msgspec

from response.ipc import messages as m

MAX_FRAME = 4 * 1024 * 1024
"""Bytes of one message's body; more than ten thousand records fit, a runaway peer does not."""

AnyMessage = m.Message | m.Reply | m.Ask | m.Answer

_LENGTH = struct.Struct(">I")
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


class FramingError(ValueError):
    """Bytes that are no message; the stream cannot be trusted after it."""


def encode(message: AnyMessage) -> bytes:
    """One message as a frame. Raises `FramingError` when it is larger than `MAX_FRAME`."""
    body = _ENCODER.encode(message)
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

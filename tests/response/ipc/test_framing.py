from __future__ import annotations

import dataclasses
import types
import typing

import msgpack  # type: ignore[import-untyped, unused-ignore]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from response.ipc import framing
from response.ipc import messages as m
from response.ipc.framing import Decoder, FramingError, encode
from topology.records import FlowRecord

KINDS = typing.get_args(framing.AnyMessage)


def values_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values_of(part) for part in typing.get_args(hint)])
    if origin is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if origin is tuple:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint):
        return instances_of(typing.cast("type", hint))
    plain: dict[object, st.SearchStrategy[typing.Any]] = {
        int: st.integers(-(2**63), 2**64 - 1),
        float: st.floats(allow_nan=False),
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        bool: st.booleans(),
        bytes: st.binary(max_size=20),
        type(None): st.none(),
    }
    return plain[hint]


def instances_of(cls: type) -> st.SearchStrategy[typing.Any]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{f.name: values_of(hints[f.name]) for f in dataclasses.fields(cls)})


ANY_MESSAGE = st.one_of([instances_of(cls) for cls in KINDS])


@given(st.lists(ANY_MESSAGE, max_size=4), st.integers(1, 40))
def test_every_message_comes_back_however_the_stream_is_cut(
    sent: list[framing.AnyMessage], size: int
) -> None:
    stream = b"".join(encode(message) for message in sent)
    decoder = Decoder()
    got = [
        message
        for start in range(0, len(stream), size)
        for message in decoder.feed(stream[start : start + size])
    ]
    assert got == sent
    assert decoder.pending == 0


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_messages_or_one_clear_error(data: bytes) -> None:
    try:
        Decoder(max_frame=64).feed(data)
    except FramingError:
        pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from([cls.__name__ for cls in KINDS]),
)
def test_a_body_of_the_wrong_shape_is_refused_or_a_whole_message(
    body: typing.Any, name: str
) -> None:
    packed = msgpack.packb([name, *(body if isinstance(body, list) else [body])])
    try:
        (message,) = Decoder().feed(len(packed).to_bytes(4, "big") + packed)
    except FramingError:
        return
    assert type(message).__name__ == name
    assert encode(message) == len(packed).to_bytes(4, "big") + packed


def test_a_frame_over_the_limit_is_refused_before_it_is_held() -> None:
    decoder = Decoder(max_frame=100)
    with pytest.raises(FramingError, match="over 100"):
        decoder.feed((101).to_bytes(4, "big"))


def test_encoding_more_than_the_limit_is_refused() -> None:
    with pytest.raises(FramingError, match="over"):
        encode(m.Answer(True, "x" * (framing.MAX_FRAME + 1)))


def test_a_record_keeps_its_kinds() -> None:
    record = FlowRecord(1.5, "10.0.0.1", "10.0.0.2", "tcp", dst_port=22, phase="start")
    (message,) = Decoder().feed(encode(m.RecordsSeen((record,), lost=3)))
    assert message == m.RecordsSeen((record,), lost=3)

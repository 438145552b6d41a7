from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.feed_block import FeedBlock
from policies.model import Mode
from policies.semantics.prefix_sets import SIX
from response.feed_listing import ListFeed
from response.feeds.entries import MAX_ENTRIES
from response.ipc import framing
from response.ipc import messages as m
from response.ipc.framing import MAX_FRAME, MAX_PART, Decoder, FramingError, encode, framed
from topology.records import Binding, FlowRecord

RECORD = {"ts": 1.5, "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "proto": "tcp"}
KINDS = typing.get_args(framing.AnyMessage)


def values_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values_of(part) for part in typing.get_args(hint)])
    if origin is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if origin is tuple and Ellipsis not in typing.get_args(hint):
        return st.tuples(*map(values_of, typing.get_args(hint)))
    if origin is tuple:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if origin is frozenset:
        return st.frozensets(values_of(typing.get_args(hint)[0]), max_size=3)
    if origin in (dict, Mapping):
        return st.dictionaries(*map(values_of, typing.get_args(hint)), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or is_dataclass(hint)):
        return instances_of(hint)
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
    names = inspect.signature(cls).parameters
    return st.builds(cls, **{name: values_of(hints[name]) for name in names})


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


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def frame(body: object) -> bytes:
    packed = msgspec.msgpack.encode(body)
    return len(packed).to_bytes(4, "big") + packed


@given(st.data(), st.sampled_from(KINDS))
def test_a_message_with_a_wrong_value_is_refused_or_a_whole_message(
    data: st.DataObject, kind: type
) -> None:
    body = msgspec.to_builtins(data.draw(instances_of(kind)))
    for name in data.draw(st.lists(st.sampled_from([*body, "other"]), max_size=2)):
        body[name] = data.draw(JUNK)
    for name in data.draw(st.sets(st.sampled_from(sorted(body)), max_size=1)):
        del body[name]
    try:
        (message,) = Decoder().feed(frame(body))
    except FramingError:
        return
    assert type(message) is kind
    assert encode(message) == encode(*Decoder().feed(encode(message)))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"type": "RecordsSeen", "records": [RECORD, {**RECORD, "ts": "now"}]}, "$.records[1].ts"),
        ({"type": "RecordsSeen", "records": [{**RECORD, "phase": "half"}]}, "$.records[0].phase"),
        ({"type": "RecordsSeen", "records": [], "lost": True}, "$.lost"),
        ({"type": "Answer", "ok": True, "text": "done", "more": 1}, "more"),
        ({"type": "Answer", "ok": True}, "text"),
        ({"type": "Nobody"}, "$.type"),
    ],
)
def test_the_error_of_a_malformed_message_names_the_value(body: object, path: str) -> None:
    with pytest.raises(FramingError, match=re.escape(path)):
        Decoder().feed(frame(body))


@pytest.mark.parametrize(
    "body",
    [
        b"\x92\xa4type" + b"\xdd\xff\xff\xff\xff",  # a list of four thousand million values
        b"\x82\xa4type\xa6Answer\xa4text\xdb\xff\xff\xff\xff",  # a text of four gigabytes
        b"\x82\xa4type\xa6Answer\xa1x" + b"\x91" * 100_000,  # nested without end
    ],
)
def test_a_body_that_promises_more_than_it_holds_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(FramingError):
        Decoder().feed(len(body).to_bytes(4, "big") + body)


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


RECORDS = st.lists(
    st.builds(
        FlowRecord,
        ts=st.floats(0, 9),
        src_ip=st.just("10.0.0.1"),
        dst_ip=st.just("10.0.0.2"),
        proto=st.just("tcp"),
        src_port=st.sampled_from([0, 1, 2**64]),
        intent=st.sampled_from([None, "n", "n" * 400_000, "n" * 1_500_000, "\ud800"]),
    ),
    max_size=9,
).map(tuple)


@pytest.mark.threat("message-size")
@given(RECORDS, st.integers(0, 5))
def test_records_are_cut_by_bytes_and_what_no_frame_holds_is_named(
    records: tuple[FlowRecord, ...], lost: int
) -> None:
    made = framed(m.RecordsSeen(records, lost))
    got = Decoder().feed(made.data)
    whole = [each for each in got if isinstance(each, m.RecordsSeen)]
    left_out = [each for each in made.left_out if isinstance(each, m.RecordsSeen)]
    impossible = [r for r in records if r.src_port == 2**64 or r.intent == "\ud800"]
    assert [r for each in left_out for r in each.records] == impossible
    arrived = [r for each in whole for r in each.records]
    assert arrived == [r for r in records if r not in impossible]
    assert sum(each.lost for each in (*whole, *left_out)) == lost
    assert all(len(each.records) <= 1 or len(encode(each)) <= MAX_PART for each in whole)


@pytest.mark.threat("message-size")
@pytest.mark.parametrize(
    "message",
    [
        m.SwitchChanged(1.0, 1, "failed", "n" * (MAX_FRAME + 1)),
        m.SwitchChanged(1.0, 2**70, "failed", ""),
        m.PolicyApplied(1.0, ("\ud800",), ""),
    ],
)
def test_a_message_that_is_no_frame_is_left_out_whole(message: framing.AnyMessage) -> None:
    assert framed(message) == framing.Framed(b"", (message,))


@pytest.mark.threat("message-size")
def test_the_largest_feed_and_many_bindings_are_one_frame() -> None:
    spread = tuple((SIX + (n << 65), -(1 << 64)) for n in range(MAX_ENTRIES))
    feed = ListFeed.of(FeedBlock("large", Mode.ENFORCE, spread))
    bindings = (Binding("02:00:00:00:00:01", "2001:db8::ffff:ffff", 2**63, 65_000, "n" * 60),)
    for message in (feed, m.HostsChanged(bindings * 400_000)):
        made = framed(message)
        assert made.left_out == ()
        assert len(made.data) < MAX_FRAME

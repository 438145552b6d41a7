"""Bytes that are no snapshot of ours: refused, or a detector that goes on as any other does."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.detector import Detector
from detection.snapshots.detector_snapshot import FORMAT
from tests.support.traffic.office import DNS, HOSTS, OPS, T0, WEB, benign, denied, start, sweep
from topology.records import FlowRecord

pytestmark = pytest.mark.threat("stored-code")

EXTREMES = (0.0, -1.0, 1.0, 1e9, -1e9, 1e20, 1e300, -1e300, float("nan"), float("inf"), T0 + 4e5)
WHOLE = (0, 1, -1, 2, 255, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63))


@cache
def learned() -> bytes:
    """After two hours with outside peers, beacons, hops, a sweep and a suspended host."""
    detector = Detector(seed=3)
    detector.suspend("10.1.9.9")
    for record in (*benign(2, 7200.0), *outward(T0 + 7200), *afterwards(T0 + 9000)):
        detector.step(record)
    assert detector.baseline.since is not None and detector.health().alerts > 1
    return detector.snapshot()


def outward(begin: float) -> list[FlowRecord]:
    return [
        FlowRecord(
            begin + 30.0 * i, HOSTS[i % 3], f"8.8.{i % 5}.8", "tcp", 40_000, 443,
            phase="whole", state="established", bytes_out=2_000_000, bytes_in=9,
        )
        for i in range(60)
    ]  # fmt: skip


def afterwards(begin: float) -> list[FlowRecord]:
    steps = zip(HOSTS, HOSTS[1:], strict=False)
    hops = [start(begin + i, src, dst, 22) for i, (src, dst) in enumerate(steps)]
    probes = [denied(begin + 40 + i, DNS, WEB[0], 20 + i) for i in range(30)]
    return [*hops, *probes, *sweep(begin + 90, OPS, [f"10.1.7.{i}" for i in range(1, 30)], (22,))]


def goes_on(data: bytes) -> bool:
    """Whether the bytes are taken; a detector made of them scores hours of traffic."""
    try:
        detector = Detector.restore(data)
    except ValueError as problem:
        assert "snapshot" in str(problem) and "\n" not in str(problem)
        return False
    begin = max(detector.now, T0) + 1.0
    records = [*afterwards(begin), *outward(begin + 300), *benign(4, 120.0, begin + 2100)]
    for record in (*records, *afterwards(begin + 9000.0), *afterwards(begin + 100_000.0)):
        scored = detector.step(record)
        assert 0.0 <= scored.score <= 1.0
    detector.health()
    detector.snapshot()
    return True


def opened() -> tuple[list[Any], list[Any]]:
    """The stored value, and what is learned within it."""
    raw = zlib.decompress(learned()[len(FORMAT.header) :])
    stored = msgspec.msgpack.decode(raw)
    return stored, msgspec.msgpack.decode(stored[0])


def closed(stored: list[Any], inner: list[Any]) -> bytes:
    return FORMAT.pack([msgspec.msgpack.encode(inner), *stored[1:]])


def test_what_was_not_changed_goes_on() -> None:
    assert goes_on(learned())
    assert goes_on(closed(*opened()))


def test_a_snapshot_that_is_cut_short_or_goes_on_is_refused() -> None:
    data = learned()
    for end in (*range(0, 60), *range(60, len(data), 997)):
        with pytest.raises(ValueError, match="snapshot"):
            Detector.restore(data[:end])
    with pytest.raises(ValueError, match="more follows"):
        Detector.restore(data + b"x")


@settings(max_examples=60)
@given(st.data())
def test_flipped_bytes_are_refused_or_harmless(data: st.DataObject) -> None:
    raw = bytearray(zlib.decompress(learned()[len(FORMAT.header) :]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    goes_on(FORMAT.header + zlib.compress(bytes(raw), 1))


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 2**63), st.floats(), st.binary(max_size=9),
              st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=9), st.dictionaries(st.text(), inner)),
))  # fmt: skip
def test_foreign_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        Detector.restore(FORMAT.pack(value))


@pytest.mark.parametrize("seed", range(8))
def test_columns_of_extreme_numbers_are_refused_or_harmless(seed: int) -> None:
    rng, taken = random.Random(seed), 0
    for _ in range(12):
        stored, inner = opened()
        columns: dict[str, bytes] = stored[2]
        name = rng.choice([name for name, data in columns.items() if data])
        data = bytearray(columns[name])
        form = rng.choice(("<d", "<q", "<I", "<B"))
        size = struct.calcsize(form)
        if len(data) < size:
            continue
        if form == "<d":
            put = struct.pack(form, rng.choice(EXTREMES))
        else:
            most = 2 ** (8 * size - (form == "<q"))
            put = struct.pack(form, rng.choice(WHOLE) % most)
        if rng.random() < 0.3:
            data[:] = (put * (len(data) // size + 1))[: len(data)]
        else:
            place = size * rng.randrange(len(data) // size)
            data[place : place + size] = put
        columns[name] = bytes(data)
        taken += goes_on(closed(stored, inner))
    assert taken < 12


def leaves(value: Any, path: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    if isinstance(value, list):
        return [leaf for i, each in enumerate(value) for leaf in leaves(each, (*path, i))]
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in leaves(each, (*path, key))]
    return [path]


@pytest.mark.parametrize("seed", range(8))
def test_learned_values_of_any_kind_are_refused_or_harmless(seed: int) -> None:
    rng, taken = random.Random(seed), 0
    odd: tuple[Any, ...] = (*EXTREMES, *WHOLE[:9], None, "x", b"", [], {}, True, "10.0.0.0/8", 0.5)
    paths = leaves(opened()[1])
    groups: dict[tuple[int | str, ...], list[tuple[int | str, ...]]] = {}
    for path in paths:  # a long list of numbers counts as one place
        groups.setdefault(path[:-1], []).append(path)
    for _ in range(12):
        stored, inner = opened()
        *way, last = rng.choice(rng.choice(list(groups.values())))
        place: Any = inner
        for step in way:
            place = place[step]
        place[last] = rng.choice(odd)
        taken += goes_on(closed(stored, inner))
    assert taken < 12


@pytest.mark.parametrize("missing", [0, 1, -1])
def test_columns_are_all_there_and_no_others(missing: int) -> None:
    stored, inner = opened()
    del stored[2][list(stored[2])[missing]]
    with pytest.raises(ValueError, match="missing|unknown|damaged"):
        Detector.restore(closed(stored, inner))
    stored, inner = opened()
    stored[2]["more"] = b"x"
    with pytest.raises(ValueError, match="more is unknown"):
        Detector.restore(closed(stored, inner))


def test_random_numbers_that_never_end_are_refused() -> None:
    stored, inner = opened()
    text = msgspec.msgpack.encode(inner)
    state = struct.pack("<625I", *Detector(seed=1).drift._kswin._rng.getstate()[1])
    words = next(place for place in leaves(inner) if isinstance(at(inner, place), bytes))
    assert len(at(inner, words)) == len(state) and text
    for wrong in (bytes(2500), state[:-4], state[:-4] + struct.pack("<I", 625)):
        *way, last = words
        at(inner, tuple(way))[last] = wrong
        with pytest.raises(ValueError, match="random numbers"):
            Detector.restore(closed(stored, inner))


def at(value: Any, path: tuple[int | str, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize(
    "value",
    [
        bytes(FORMAT.limit + 1),
        b"\x93\xc4\x00\xdd\x7f\xff\xff\xff" + b"\xa0" * 1000,  # two thousand million texts
        b"\x90" * 1_000_000,
        b"\x91" * 1_000_000,  # nested
        b"\xc1",
    ],
)
def test_small_bytes_take_little_memory(value: bytes) -> None:
    data = FORMAT.header + zlib.compress(value, 9)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="snapshot"):
            Detector.restore(data)
        assert tracemalloc.get_traced_memory()[1] < 2 * FORMAT.limit + (1 << 20)
    finally:
        tracemalloc.stop()


def test_counts_that_their_columns_do_not_have_take_no_memory() -> None:
    stored, inner = opened()
    stored[2]["hosts#"] = np.array([2**32 - 1], "<u4").tobytes()
    data = closed(stored, inner)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="does not have"):
            Detector.restore(data)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()

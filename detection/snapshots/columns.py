"""Tables of objects as columns of bytes, and back, with every value checked.

A `Codec` writes a list of values as one column or several, each under a name, and reads them again
when the number of values is known. Codecs are put together as the objects are: numbers, texts,
lists, dictionaries, objects of a class. Nothing in a column names a class: what is made is what the
codec says. A column that is too short or too long, or holds a number outside its bounds, raises
ValueError before anything is made of it, so that what is read takes memory in proportion to its
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import Any, Protocol

import numpy as np

from detection.state.stored_values import MOST, MOST_BYTES, MOST_EVENTS, VAST

Values = Sequence[Any]


@dataclass(slots=True)
class ColumnWriter:
    """``indices`` are the places of objects in the tables that are referred to."""

    columns: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    indices: dict[str, dict[int, int]] = field(default_factory=dict)

    def refer(self, table: str, objects: Iterable[object]) -> list[Any]:
        """Number the objects of a table, each once."""
        distinct = {id(one): one for one in objects}
        self.indices[table] = {key: i for i, key in enumerate(distinct)}
        return list(distinct.values())


@dataclass(slots=True)
class ColumnReader:
    """``now`` is the latest time there is; ``objects`` are the tables that are referred to."""

    columns: dict[str, bytes]
    texts: Sequence[str]
    now: float
    objects: dict[str, Values] = field(default_factory=dict)

    def take(self, name: str, count: int, kind: str) -> np.ndarray[Any, np.dtype[Any]]:
        """A column of ``count`` numbers. Raises ValueError unless there is exactly that."""
        data = self.columns.pop(name, None)
        if data is None:
            raise ValueError(f"{name} is missing")
        if len(data) != count * np.dtype(kind).itemsize:
            raise ValueError(f"{name} does not have {count} values")
        return np.frombuffer(data, kind)

    def finish(self) -> None:
        """Raises ValueError when a column was not asked for."""
        for name in self.columns:
            raise ValueError(f"{name} is unknown")


class Codec(Protocol):
    def write(self, name: str, values: Values, out: ColumnWriter) -> None: ...

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one numpy ``kind`` within bounds; with ``width``, lists of so many each. The
    upper bound ``now`` is that of the reader."""

    kind: str = "<f8"
    low: float = 0.0
    high: float | None = MOST
    width: int = 0

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        flat = list(chain.from_iterable(values)) if self.width else values
        try:
            made = np.array(flat, self.kind)
        except OverflowError:  # a counter that nothing bounds
            made = np.array([min(x, MOST_EVENTS) for x in flat], self.kind)
        out.columns[name] = made.tobytes()

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        found = source.take(name, count * (self.width or 1), self.kind)
        high = source.now if self.high is None else self.high
        if found.size and not (found.min() >= self.low and found.max() <= high):
            raise ValueError(f"{name} has a number out of bounds")
        shaped: list[Any] = (found.reshape(count, self.width) if self.width else found).tolist()
        return shaped


@dataclass(frozen=True, slots=True)
class Flags:
    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        out.columns[name] = bytes(map(bool, values))

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        return list(map(bool, Numbers("u1", 0, 1).read(name, count, source)))


@dataclass(frozen=True, slots=True)
class Texts:
    """Each different text is stored once."""

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        texts = out.texts
        numbers = [texts.setdefault(text, len(texts)) for text in values]
        out.columns[name] = np.array(numbers, "<u4").tobytes()

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        texts = source.texts
        numbers = Numbers("<u4", 0, len(texts) - 1).read(name, count, source)
        return [texts[number] for number in numbers]


@dataclass(frozen=True, slots=True)
class References:
    """Objects of a table that was written before, or None."""

    table: str
    may_be_none: bool = False

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        places = out.indices[self.table]
        numbers = [-1 if one is None else places[id(one)] for one in values]
        out.columns[name] = np.array(numbers, "<i4").tobytes()

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        objects = source.objects[self.table]
        least = -1 if self.may_be_none else 0
        numbers = Numbers("<i4", least, len(objects) - 1).read(name, count, source)
        return [None if number < 0 else objects[number] for number in numbers]


@dataclass(frozen=True, slots=True)
class Maybe:
    """Values that may be None."""

    of: Codec

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        Flags().write(f"{name}?", [one is not None for one in values], out)
        self.of.write(name, [one for one in values if one is not None], out)

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        there = Flags().read(f"{name}?", count, source)
        found = iter(self.of.read(name, sum(there), source))
        return [next(found) if each else None for each in there]


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists of ``least`` to ``most`` items; ``make`` turns each into what it is."""

    of: Codec
    most: int = MOST_EVENTS
    least: int = 0
    make: Callable[[list[Any]], Any] = list
    items: Callable[[Any], Iterable[Any]] = iter

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        parts = [list(self.items(one)) for one in values]
        out.columns[f"{name}#"] = np.array([len(part) for part in parts], "<u4").tobytes()
        self.of.write(name, list(chain.from_iterable(parts)), out)

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        sizes = Numbers("<u4", self.least, self.most).read(f"{name}#", count, source)
        found = iter(self.of.read(name, sum(sizes), source))
        return [self.make(list(islice(found, size))) for size in sizes]


@dataclass(frozen=True, slots=True)
class TupleColumns:
    """TupleColumns, each place with its own codec."""

    places: tuple[Codec, ...]

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        for i, codec in enumerate(self.places):
            codec.write(f"{name}.{i}", list(map(itemgetter(i), values)), out)

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        columns = [codec.read(f"{name}.{i}", count, source) for i, codec in enumerate(self.places)]
        return list(zip(*columns, strict=True))


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one class by their attributes; ``fixed`` are those that are always the same."""

    cls: type
    attributes: Mapping[str, Codec]
    fixed: Mapping[str, Hashable] = field(default_factory=dict)

    def write(self, name: str, values: Values, out: ColumnWriter) -> None:
        for attribute, codec in self.attributes.items():
            codec.write(f"{name}.{attribute}", list(map(attrgetter(attribute), values)), out)

    def read(self, name: str, count: int, source: ColumnReader) -> list[Any]:
        columns = {
            attribute: codec.read(f"{name}.{attribute}", count, source)
            for attribute, codec in self.attributes.items()
        }
        made: list[Any] = [object.__new__(self.cls) for _ in range(count)]
        put = object.__setattr__  # frozen classes too
        for attribute, column in columns.items():
            for one, value in zip(made, column, strict=True):
                put(one, attribute, value)
        for attribute, value in self.fixed.items():
            for one in made:
                put(one, attribute, value)
        return made


def dictionaries(key: Codec, value: Codec, most: int = MOST_EVENTS) -> Lists:
    return Lists(TupleColumns((key, value)), most, 0, _dictionary, dict.items)


def ordered_keys(of: Codec, most: int = MOST_EVENTS) -> Lists:
    """Dictionaries whose values are None."""
    return Lists(of, most, 0, lambda keys: _dictionary([(key, None) for key in keys]))


def sized_tuples(of: Codec, least: int, most: int) -> Lists:
    return Lists(of, most, least, tuple)


def _dictionary(pairs: list[Any]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


TEXT, FLAG = Texts(), Flags()
AMOUNT = Numbers()
SIZE = Numbers(high=MOST_BYTES)
MOMENT = Numbers(low=-VAST, high=VAST)
PAST = Numbers(low=-VAST, high=None)
EVENTS = Numbers("<i8", 0, MOST_EVENTS)
HOUR = Numbers("<i8", -MOST_EVENTS, MOST_EVENTS)

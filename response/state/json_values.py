"""Values as JSON objects with named fields: for the store, the audit and ``--json``.

Unlike the frames between processes, these outlive a version of the program:
fields that are missing take their default, unknown ones are ignored.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")


def plain(value: Any) -> Any:
    """A frozen value as dictionaries and lists; what JSON knows stays as it is."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    return value


def sparse(value: Any) -> dict[str, Any]:
    """Like `plain` for one flat value, without the fields that are None."""
    pairs = ((name, getattr(value, name)) for name in _names(type(value)))
    return {name: item for name, item in pairs if item is not None}


def load(cls: type[T], data: dict[str, Any]) -> T:
    """The inverse of `plain`. Raises TypeError when a field without default is missing."""
    hints = _hints(cls)
    kept = {name: _loaded(hints[name], item) for name, item in data.items() if name in hints}
    return cls(**kept)


def dumps(value: Any) -> str:
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)


def loads(cls: type[T], text: str) -> T:
    return load(cls, json.loads(text))


def _loaded(hint: Any, item: Any) -> Any:
    if isinstance(item, list):
        inner = typing.get_args(hint)[0]
        return tuple(_loaded(inner, part) for part in item)
    if isinstance(item, dict):
        parts = [part for part in typing.get_args(hint) or (hint,) if part is not type(None)]
        return load(cast("type[Any]", parts[0]), item)
    return item


_NAMES: dict[type[Any], tuple[str, ...]] = {}
_HINTS: dict[type[Any], dict[str, Any]] = {}


def _names(cls: type[Any]) -> tuple[str, ...]:
    found = _NAMES.get(cls)
    if found is None:
        struct = issubclass(cls, msgspec.Struct)
        found = cls.__struct_fields__ if struct else tuple(f.name for f in dataclasses.fields(cls))
        _NAMES[cls] = found
    return found


def _hints(cls: type[Any]) -> dict[str, Any]:
    found = _HINTS.get(cls)
    if found is None:
        found = _HINTS[cls] = typing.get_type_hints(cls)
    return found

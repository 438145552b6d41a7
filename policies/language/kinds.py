"""Kinds of values in a policy file: each reads a node and describes itself as JSON Schema.

`policies.language.grammar` composes the whole language from these. A kind does not stop at an
error: it records a finding and omits the invalid value, so that one run reports all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from policies.language.errors import Findings
from policies.language.nodes import Mapping, Node, Scalar, Sequence, kind_of
from policies.model import Source

Json = dict[str, Any]


@dataclass(slots=True)
class Read:
    """A value with the place and length of its text.

    The value of a record is a dict of Reads by key, of a list a list of Reads,
    of a table a dict of Reads by name.
    """

    value: Any
    source: Source
    width: int = 1

    def get(self, key: str, default: Any = None) -> Any:
        """The value under a record's key, or ``default`` where it is left out or broken."""
        found = self.value.get(key)
        return default if found is None else found.value

    def part(self, key: str) -> Read | None:
        found = self.value.get(key)
        return found if isinstance(found, Read) else None

    def items(self, key: str) -> list[Read]:
        """The entries of the list under a key; none where it is left out."""
        found = self.value.get(key)
        return [] if found is None else found.value


class ValueKind(Protocol):
    def read(self, node: Node, findings: Findings) -> Read | None:
        """The value, or None after recording what is wrong with it."""

    def json(self) -> Json:
        """The JSON Schema of the same value."""


def wrong_kind(expected: str, node: Node, findings: Findings) -> None:
    found = f"'{node.text}'" if isinstance(node, Scalar) and not node.null else kind_of(node)
    findings.error("type", f"expected {expected}, found {found}", node.source, node.width)


@dataclass(frozen=True)
class ParsedText:
    """One scalar, read by ``parse``; numbers and flags must not be quoted."""

    parse: Callable[[str], Any]
    expected: str
    schema: Json = field(default_factory=lambda: {"type": "string"})
    plain: bool = False

    def read(self, node: Node, findings: Findings) -> Read | None:
        if not isinstance(node, Scalar) or node.null or (self.plain and not node.plain):
            wrong_kind(self.expected, node, findings)
            return None
        try:
            return Read(self.parse(node.text), node.source, node.width)
        except ValueError as problem:
            findings.error("value", str(problem), node.source, node.width)
            return None

    def json(self) -> Json:
        return dict(self.schema)


@dataclass(frozen=True)
class Number:
    """A whole number within bounds."""

    low: int
    high: int
    expected: str

    def read(self, node: Node, findings: Findings) -> Read | None:
        if not isinstance(node, Scalar) or node.null or not node.plain:
            wrong_kind(self.expected, node, findings)
            return None
        text = node.text
        try:
            # Base 0 reads hexadecimal and refuses the octal-looking 010.
            value = int(text, 0) if text[:1].isdigit() and "_" not in text else None
        except ValueError:
            value = None
        if value is None or len(text) > 24:
            wrong_kind(self.expected, node, findings)
            return None
        if not self.low <= value <= self.high:
            message = f"{text} is out of range: {self.expected} is {self.low} to {self.high}"
            findings.error("range", message, node.source, node.width)
            return None
        return Read(value, node.source, node.width)

    def json(self) -> Json:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class OneOf:
    """One of a few words; ``values`` maps each word to its value."""

    values: dict[str, Any]

    def read(self, node: Node, findings: Findings) -> Read | None:
        options = ", ".join(self.values)
        if not isinstance(node, Scalar) or node.null:
            wrong_kind(f"one of {options}", node, findings)
            return None
        if node.text not in self.values:
            hint = findings.did_you_mean(node.text, self.values)
            message = f"'{node.text}' is not one of {options}"
            findings.error("value", message, node.source, node.width, hint)
            return None
        return Read(self.values[node.text], node.source, node.width)

    def json(self) -> Json:
        words: list[Any] = list(self.values)
        # An unquoted off or true is a boolean to many editors.
        words += [False] if "off" in self.values else []
        if set(self.values) == {"true", "false"}:
            return {"type": "boolean"}
        return {"enum": words}


@dataclass(frozen=True)
class Many:
    """A list; ``single`` allows one entry without brackets."""

    item: ValueKind
    expected: str
    single: bool = False
    empty: str | None = None
    """What to say of an empty list; None allows it."""

    def read(self, node: Node, findings: Findings) -> Read | None:
        if isinstance(node, Sequence):
            if not node.items and self.empty:
                findings.error("empty", self.empty, node.source, 2)
                return None
            read = (self.item.read(item, findings) for item in node.items)
            return Read([item for item in read if item is not None], node.source)
        if not self.single or (isinstance(node, Scalar) and node.null):
            wrong_kind(self.expected, node, findings)
            return None
        one = self.item.read(node, findings)
        return None if one is None else Read([one], node.source, node.width)

    def json(self) -> Json:
        item = self.item.json()
        many: Json = {"type": "array", "items": item}
        if self.empty:
            many["minItems"] = 1
        return {"anyOf": [item, many]} if self.single else many


@dataclass(frozen=True)
class NameTable:
    """A mapping from names to values of one kind. The Reads keep the key's place in ``keys``."""

    item: ValueKind
    expected: str
    key: Callable[[str], str]
    empty: str | None = None

    def read(self, node: Node, findings: Findings) -> Read | None:
        if not isinstance(node, Mapping):
            wrong_kind(self.expected, node, findings)
            return None
        if not node.items and self.empty:
            findings.error("empty", self.empty, node.source, 2)
            return None
        entries: dict[str, Read | None] = {}
        for text, (key, value) in node.items.items():
            try:
                named = self.key(text)
            except ValueError as problem:
                findings.error("name", str(problem), key.source, key.width)
                continue
            entry = self.item.read(value, findings)
            if named in entries:
                findings.error("duplicate-key", f"'{text}' is given twice", key.source, key.width)
                continue
            entries[named] = None if entry is None else Read(entry.value, key.source, key.width)
        return Read(entries, node.source)

    def json(self) -> Json:
        schema: Json = {"type": "object", "additionalProperties": self.item.json()}
        if self.empty:
            schema["minProperties"] = 1
        return schema


@dataclass(frozen=True)
class TextOrRecord:
    """A word, or a mapping that says more than a word can."""

    word: ParsedText
    record: Record

    def read(self, node: Node, findings: Findings) -> Read | None:
        kind: ValueKind = self.record if isinstance(node, Mapping) else self.word
        return kind.read(node, findings)

    def json(self) -> Json:
        return {"oneOf": [self.word.json(), self.record.json()]}


@dataclass(frozen=True)
class Key:
    """A key of a record: what it holds and what it is for."""

    name: str
    kind: ValueKind
    doc: str
    required: bool = False
    default: Any = None
    needs: tuple[str, ...] = ()
    """Other keys that must stand beside this one."""


@dataclass(frozen=True)
class Record:
    """A mapping with known keys. Missing and invalid ones have no Read in its value."""

    expected: str
    keys: tuple[Key, ...]
    empty: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {key.name: key for key in self.keys})

    def read(self, node: Node, findings: Findings) -> Read | None:
        if not isinstance(node, Mapping):
            wrong_kind(self.expected, node, findings)
            return None
        if not node.items and self.empty:
            findings.error("empty", self.empty, node.source, 2)
            return None
        by_name: dict[str, Key] = self._by_name  # type: ignore[attr-defined]
        values: dict[str, Read | None] = {}
        for text, (written, value) in node.items.items():
            known = by_name.get(text)
            if known is None:
                self._unknown(written, findings)
                continue
            values[text] = known.kind.read(value, findings)
            for other in known.needs:
                if other not in node.items:
                    message = f"'{text}' needs '{other}' beside it"
                    findings.error("missing-key", message, written.source, written.width)
        for key in self.keys:
            if key.required and key.name not in node.items:
                message = f"{self.expected} needs '{key.name}': {key.doc}"
                findings.error("missing-key", message, node.source)
        return Read(values, node.source)

    def _unknown(self, written: Scalar, findings: Findings) -> None:
        names = [key.name for key in self.keys]
        hint = findings.did_you_mean(written.text, names)
        message = f"unknown key '{written.text}' in {self.expected}"
        findings.error(
            "unknown-key", message, written.source, written.width,
            hint or f"known are {', '.join(names)}",
        )  # fmt: skip

    def json(self) -> Json:
        properties: Json = {}
        for key in self.keys:
            properties[key.name] = key.kind.json() | {"description": key.doc}
            if key.default is not None:
                properties[key.name]["default"] = key.default
        schema: Json = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        if required := [key.name for key in self.keys if key.required]:
            schema["required"] = required
        if needs := {key.name: list(key.needs) for key in self.keys if key.needs}:
            schema["dependentRequired"] = needs
        if self.empty:
            schema["minProperties"] = 1
        return schema

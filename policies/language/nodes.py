"""YAML as nodes with their position, read within bounds.

The event stream of PyYAML (libyaml's where it is installed) is assembled here
rather than by ``yaml.compose``: nesting, aliases and sizes are checked at the
event where they go wrong, nothing recurses, and it is several times faster
because no type is guessed. A scalar stays the text that was written, so a MAC
is never a base-60 number and ``off`` is never false; the schema says what a
text means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from policies.language.errors import Findings
from policies.language.odd_characters import odd_character
from policies.model import Source

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MERGE_KEY = "<<"
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")
)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Scalar:
    """``text`` as written, without its quotes; ``plain`` if it had none."""

    text: str
    source: Source
    plain: bool = True
    size: int = 1

    @property
    def null(self) -> bool:
        return self.plain and self.text in _NULLS

    @property
    def width(self) -> int:
        return max(1, len(self.text) + (0 if self.plain else 2))


@dataclass(slots=True)
class Sequence:
    source: Source
    items: list[Node] = field(default_factory=list)
    size: int = 2
    width: int = 1


@dataclass(slots=True)
class Mapping:
    """Entries in file order, each a key with its value; keys are unique."""

    source: Source
    items: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    size: int = 2
    width: int = 1


Node = Scalar | Sequence | Mapping

_KINDS = {Scalar: "a value", Sequence: "a list", Mapping: "a mapping"}


def kind_of(node: Node) -> str:
    """What a node is, for messages."""
    if isinstance(node, Scalar) and node.null:
        return "nothing"
    return _KINDS[type(node)]


class Stopped(Exception):
    """The rest of a file cannot be read; the reason is already recorded."""


class Budget:
    """The bytes of YAML left for a whole policy; an alias counts each time it is used."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self.limit = limit
        self.used = 0

    def add(self, size: int) -> bool:
        """Count ``size`` more; False when the limit is passed."""
        self.used += size
        return self.used <= self.limit


@dataclass(slots=True)
class _Open:
    """A collection that is being read; ``key`` is a mapping's key whose value has not come yet."""

    node: Sequence | Mapping
    anchor: str | None
    key: Scalar | None = None
    skip: bool = False
    merges: list[tuple[Scalar, Node]] = field(default_factory=list)


class Composer:
    """Builds the one document of a file; call `compose` once."""

    def __init__(self, text: str, file: str, findings: Findings, budget: Budget) -> None:
        self._text, self._file = text, file
        self._findings, self._budget = findings, budget
        self._anchors: dict[str, Node | None] = {}
        self._open: list[_Open] = []
        self._root: Node | None = None

    def compose(self) -> Node | None:
        """The document's root, or None for an empty or unreadable one (findings say why)."""
        try:
            loader = Loader(self._text)
            try:
                while (event := loader.get_event()) is not None:
                    self._take(event)
            finally:
                loader.dispose()
        except yaml.YAMLError as problem:
            self._syntax(problem)
            return None
        except UnicodeError:
            self._findings.error("syntax", "text that is not Unicode", Source(self._file, 1, 1))
            return None
        except Stopped:
            return None
        return self._root

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, len(event.value) + 1)
            scalar = Scalar(event.value, self._at(event), not event.style, len(event.value) + 1)
            self._tag(event)
            self._place(scalar, event.anchor)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._begin(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self._stop("documents", "a second YAML document; a file holds one", event)

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._count(event, 2)
        self._tag(event)
        if len(self._open) >= MAX_DEPTH:
            self._stop("nesting", f"nested more than {MAX_DEPTH} deep", event)
        if event.anchor:
            self._anchors[event.anchor] = None
        source = self._at(event)
        node = Mapping(source) if isinstance(event, yaml.MappingStartEvent) else Sequence(source)
        self._open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        for key, value in done.merges:
            self._merge(done.node, key, value)
        self._place(done.node, done.anchor)

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            hint = self._findings.did_you_mean(anchor, self._anchors)
            self._stop("alias", f"no anchor named '{anchor}' before this", event, hint)
        node = self._anchors[anchor]
        if node is None:
            self._stop("alias-loop", f"anchor '{anchor}' contains itself", event)
        else:
            self._count(event, node.size)
            self._place(node, None)

    def _place(self, node: Node, anchor: str | None) -> None:
        """Put a finished node where it belongs: into the open collection, or at the root."""
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.node.size += node.size
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None and not parent.skip:
            self._key(parent, node)
        else:
            self._value(parent, parent.node, node)

    def _key(self, parent: _Open, node: Node) -> None:
        if isinstance(node, Scalar):
            parent.key = node
            return
        self._findings.error("key", f"a key must be a word, not {kind_of(node)}", node.source)
        parent.skip = True

    def _value(self, parent: _Open, mapping: Mapping, node: Node) -> None:
        key, parent.key, skip, parent.skip = parent.key, None, parent.skip, False
        if skip or key is None:
            return
        if key.text == MERGE_KEY and key.plain:
            parent.merges.append((key, node))
        elif key.text in mapping.items:
            first = mapping.items[key.text][0].source
            self._findings.error(
                "duplicate-key",
                f"key '{key.text}' stands twice; first at line {first.line}",
                key.source,
                key.width,
            )
        else:
            mapping.items[key.text] = (key, node)

    def _merge(self, node: Sequence | Mapping, key: Scalar, value: Node) -> None:
        """``<<: *base``: keys of the base that the mapping does not name itself."""
        bases = value.items if isinstance(value, Sequence) else [value]
        for base in bases:
            if not isinstance(base, Mapping):
                self._findings.error("merge", "'<<' takes a mapping or a list of them", key.source)
            elif isinstance(node, Mapping):
                for name, entry in base.items.items():
                    node.items.setdefault(name, entry)

    def _count(self, event: yaml.Event, size: int) -> None:
        if not self._budget.add(size):
            limit = self._budget.limit // (1024 * 1024)
            self._stop("size", f"more than {limit} MiB of YAML after alias expansion", event)

    def _tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!" and tag not in _CORE_TAGS:
            self._findings.error("tag", f"tag '{tag}' has no meaning here", self._at(event))

    def _at(self, event: yaml.Event) -> Source:
        mark: Any = event.start_mark
        return Source(self._file, mark.line + 1, mark.column + 1)

    def _stop(self, code: str, message: str, event: yaml.Event, hint: str | None = None) -> None:
        self._findings.error(code, message, self._at(event), hint=hint)
        raise Stopped

    def _syntax(self, problem: yaml.YAMLError) -> None:
        mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
        if mark is not None:
            source = Source(self._file, mark.line + 1, mark.column + 1)
        else:
            before = self._text[: getattr(problem, "position", 0)]
            line = before.count("\n")
            source = Source(self._file, line + 1, len(before) - before.rfind("\n"))
        context = getattr(problem, "context", None)
        what = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "bad YAML"
        message = f"not YAML: {what}" + (f" {context}" if context else "")
        odd = odd_character(self._text, source.line)
        if odd is not None:
            line, column, name = odd
            message = f"not YAML: {name} stands here, where plain characters are expected"
            source = Source(self._file, line, column)
        self._findings.error("syntax", message, source)

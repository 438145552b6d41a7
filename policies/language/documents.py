"""From paths to one merged set of sections: files, directories, includes, inventories."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass, field
from pathlib import Path

from policies.language import grammar
from policies.language.errors import Findings, split_lines
from policies.language.inventory import MAX_CSV_BYTES, read_inventory
from policies.language.kinds import Read
from policies.language.nodes import MAX_BYTES, Budget, Composer
from policies.language.sources import OUTSIDE, Sources
from policies.model import Source

YAML_SUFFIXES = frozenset({".yaml", ".yml"})
_TABLES = ("hosts", "segments", "services")
_LISTS = ("intents", "feeds", "tests")
_SINGLES = ("metadata", "defaults", "adaptive")


@dataclass(slots=True)
class Merged:
    """The sections of all files together.

    A table's entry is None where the name exists but its value is invalid. ``complete`` is False
    when a file could not be read to its end: missing names may be in the unread part.
    """

    tables: dict[str, dict[str, Read | None]] = field(
        default_factory=lambda: {name: {} for name in _TABLES}
    )
    lists: dict[str, list[Read]] = field(default_factory=lambda: {name: [] for name in _LISTS})
    singles: dict[str, Read] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)  # the files' whole texts
    complete: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self.texts)


class Gathering:
    """Reads files, each once however often it is included, and merges their sections."""

    def __init__(self, findings: Findings, sources: Sources, limit: int = MAX_BYTES) -> None:
        self._sources = sources
        self.merged = Merged()
        self._findings = findings
        self._budget = Budget(limit)
        self._seen: set[str] = set()
        self._places: dict[tuple[str, str], Source] = {}
        self._headers: set[str] = set()

    def gather(self, paths: Listing[str | Path]) -> Merged:
        for path in paths:
            self._path(Path(path), Source(str(path), 1, 1))
        self._require_headers([str(path) for path in paths])
        return self.merged

    def _path(self, path: Path, wanted: Source, width: int = 1) -> None:
        """Read what ``path`` names; ``wanted`` is the place of the reference to it."""
        try:
            if "\0" in str(path):
                raise OSError("a NUL byte in its name")
            if not self._sources.within(path):
                self._unreadable(path, OUTSIDE, wanted, width)
                return
            if self._sources.is_directory(path):
                names = [p for p in self._sources.inside(path) if not p.name.startswith(".")]
                inside = [p for p in names if p.suffix.lower() in YAML_SUFFIXES]
                if not inside:
                    self._unreadable(path, "holds no .yaml file", wanted, width)
                for file in inside:
                    self._path(file, Source(str(file), 1, 1))
                return
            key = self._sources.real(path)
            if key in self._seen:
                return
            self._seen.add(key)
            text = self._text(path, wanted, width)
        except (OSError, ValueError, RuntimeError) as problem:
            why = getattr(problem, "strerror", None) or str(problem)
            self._unreadable(path, f"cannot be read: {why}", wanted, width)
            return
        if text is None:
            return
        if path.suffix.lower() == ".csv":
            self._inventory(text, str(path))
        else:
            self._document(text, path)

    def _text(self, path: Path, wanted: Source, width: int) -> str | None:
        if not self._sources.exists(path):
            self._unreadable(path, self._sources.missing(path), wanted, width)
            return None
        if not self._sources.is_file(path):
            self._unreadable(path, "is not a file", wanted, width)
            return None
        limit = MAX_CSV_BYTES if path.suffix.lower() == ".csv" else MAX_BYTES
        data = self._sources.head(path, limit + 1)
        if len(data) > limit:
            why = f"is more than {limit // (1024 * 1024)} MiB"
            self._unreadable(path, why, Source(str(path), 1, 1), 1)
            return None
        coding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            text = data.decode(coding)
        except UnicodeDecodeError as problem:
            before = data[: problem.start].decode(coding, "replace")
            line = before.count("\n") + 1
            source = Source(str(path), line, len(before) - before.rfind("\n"))
            name = "UTF-16" if coding == "utf-16" else "UTF-8"
            self._findings.error("syntax", f"not {name}: byte 0x{data[problem.start]:02x}", source)
            self.merged.complete = False
            return None
        self.merged.texts[str(path)] = split_lines(text)
        self.merged.contents[str(path)] = text
        return text

    def _unreadable(self, path: Path, why: str, wanted: Source, width: int) -> None:
        self.merged.complete = False
        self._findings.error("unreadable", f"'{path}' {why}", wanted, width)

    def _inventory(self, text: str, file: str) -> None:
        before = self._findings.errors
        for name, source, width, host in read_inventory(text, file, self._findings):
            entry = None if host is None else Read(host.value, source, width)
            self._name("hosts", name, entry, source, width)
        if self._findings.errors > before:
            self.merged.complete = False

    def _document(self, text: str, path: Path) -> None:
        before = self._findings.errors
        root = Composer(text, str(path), self._findings, self._budget).compose()
        if root is None:
            self.merged.complete = self.merged.complete and self._findings.errors == before
            return
        document = grammar.DOCUMENT.read(root, self._findings)
        if document is None:
            self.merged.complete = False
            return
        self._headers.update(key for key in ("apiVersion", "kind") if key in document.value)
        for table in _TABLES:
            self._table(table, document)
        for name in _LISTS:
            self.merged.lists[name].extend(document.items(name))
        for name in _SINGLES:
            part = document.part(name)
            if part is not None:
                self._single(name, part)
        for include in document.items("include"):
            self._include(include, path)

    def _table(self, table: str, document: Read) -> None:
        part = document.part(table)
        if part is None:
            self.merged.complete = self.merged.complete and table not in document.value
            return
        for name, entry in part.value.items():
            source = part.source if entry is None else entry.source
            self._name(table, name, entry, source, 1 if entry is None else entry.width)

    def _name(self, table: str, name: str, entry: Read | None, source: Source, width: int) -> None:
        first = self._places.setdefault((table, name), source)
        if name in self.merged.tables[table]:
            what = table.removesuffix("s")
            message = f"{what} '{name}' is defined twice; first at {first}"
            self._findings.error("duplicate-name", message, source, width)
        else:
            self.merged.tables[table][name] = entry

    def _single(self, name: str, part: Read) -> None:
        whole = self.merged.singles.setdefault(name, Read({}, part.source, part.width))
        for key, value in part.value.items():
            if key not in whole.value:
                whole.value[key] = value
            elif value is not None:
                message = f"'{name}.{key}' is set in two files"
                self._findings.error("duplicate-name", message, value.source, value.width)

    def _include(self, include: Read, path: Path) -> None:
        given = Path(include.value)
        if given.is_absolute():
            message = f"'{given}' is absolute; an include is relative to the file that names it"
            self._findings.error("include", message, include.source, include.width)
            self.merged.complete = False
            return
        self._path(path.parent / given, include.source, include.width)

    def _require_headers(self, paths: list[str]) -> None:
        """Check that each header is in one of the files; included parts need none."""
        if not self.merged.texts or not self.merged.complete:
            return
        first = next(iter(self.merged.texts), paths[0])
        headers = (("apiVersion", grammar.API_VERSION), ("kind", grammar.KIND))
        for key, value in headers:
            if key not in self._headers:
                message = f"a policy says '{key}: {value}'"
                self._findings.error("missing-key", message, Source(first, 1, 1))

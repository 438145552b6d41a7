"""Old entries of the record, moved to files: archives, and how a verification follows them.

An archive is the export of a segment as JSON lines, from where the record began to a checkpoint,
and a last line that signs where the segment begins and ends. The same statement is an entry of the
record (kind ``archived``), which goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from response.audit.chain import AuditEntry, AuditHead, canonical
from response.audit.signing import Signer, is_signed

KIND = "archived"
LAST_LINE = 65_536  # bytes that the last line has at most


class ArchiveError(Exception):
    """An archive cannot be made or read; the text is one line."""


@dataclass(frozen=True, slots=True)
class ArchivedSegment:
    """Entries ``first`` to ``last`` of ``record``, signed by the owner of ``key``.

    ``prev`` is the hash before the first of them, ``hash`` that of the last, a checkpoint. They
    were written to ``file``; those before them, if any, to ``older``.
    """

    record: str
    first: int
    last: int
    prev: str
    hash: str
    file: str
    older: str
    key: str
    signature: str = ""

    def signed_by(self, signer: Signer) -> ArchivedSegment:
        return replace(self, signature=signer.sign(self._signed()))

    def is_of(self, record: str, key: str | None) -> bool:
        """Whether the owner of ``key`` (of any, where None) signed it for ``record``."""
        ours = self.record == record and key in (None, self.key)
        return ours and is_signed(self.key, self._signed(), self.signature)

    def _signed(self) -> bytes:
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return b"archived " + canonical(fields).encode()

    @property
    def begin(self) -> AuditHead:
        return AuditHead(self.first - 1, self.prev)

    @property
    def end(self) -> AuditHead:
        return AuditHead(self.last, self.hash)


def newest(entries: Iterable[AuditEntry], record: str, key: str | None) -> ArchivedSegment | None:
    """The one that the record goes on from, of its entries of `KIND`; None where it is all
    there. What is not signed is passed over, so that the gap shows."""
    found = None
    for entry in entries:
        try:
            segment = msgspec.json.decode(entry.data, type=ArchivedSegment)
        except ValueError:
            continue
        if segment.is_of(record, key) and (found is None or segment.last > found.last):
            found = segment
    return found


def as_jsonl(entry: AuditEntry) -> str:
    """One line of ``audit export --format jsonl`` and of archives;
    `response.audit.chain.entry_hash` can be recomputed from it (``data`` in canonical form)."""
    return json.dumps(
        {
            "seq": entry.seq,
            "ts": entry.ts,
            "kind": entry.kind,
            "data": entry.values(),
            "prev": entry.prev,
            "hash": entry.hash,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def write_archive(entries: Iterable[AuditEntry], segment: ArchivedSegment) -> None:
    """Make the file, readable by its owner only, whole and on disk when it has its name.

    Raises `ArchiveError` where a file is there, OSError where it cannot be written.
    """
    path = Path(segment.file)
    part = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for entry in entries:
                file.write(as_jsonl(entry) + "\n")
            file.write(canonical({"archive": asdict(segment)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        raise ArchiveError(f"{path}: exists already; choose another name") from None
    finally:
        part.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def segment_in(path: Path) -> ArchivedSegment:
    """What an archive's last line says, unchecked. Raises `ArchiveError` for what is none."""
    try:
        if not path.is_file():
            raise ArchiveError(f"{path}: no such file")
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_LINE))
            lines = file.read(LAST_LINE).splitlines()
        return msgspec.json.decode(lines[-1], type=_LastLine).archive
    except OSError as problem:
        raise ArchiveError(f"{path}: {problem.strerror}") from None
    except (ValueError, IndexError):
        raise ArchiveError(f"{path}: no archive of an audit, or cut off at its end") from None


def entries_in(path: Path) -> Iterator[AuditEntry]:
    """All entries of an archive, unchecked. Raises `ArchiveError` at one that cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            before = ""
            for number, line in enumerate(file):
                if before:
                    yield _entry(path, number, before)
                before = line
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
        raise ArchiveError(f"{path}: {why}") from None


@dataclass(frozen=True, slots=True)
class Past:
    """What was archived: ``files`` in order, whose first entry follows ``base``, and why what is
    before that cannot be checked."""

    files: tuple[Path, ...] = ()
    base: AuditHead = AuditHead()
    problems: tuple[str, ...] = ()

    def entries(self, problems: list[str]) -> Iterator[AuditEntry]:
        """Those in the files; what cannot be read ends them, and is added to ``problems``."""
        try:
            for path in self.files:
                yield from entries_in(path)
        except ArchiveError as problem:
            problems.append(str(problem))


def follow(
    segment: ArchivedSegment | None,
    given: Iterable[Path],
    is_ours: Callable[[ArchivedSegment], bool],
) -> Past:
    """Find the archives of everything up to the end of ``segment``: each in the file that was
    named when it was made, or in one of those ``given``. Their entries are not looked at yet."""
    files: list[Path] = []
    problems: list[str] = []
    moved: dict[AuditHead, Path] = {}
    for path in given:
        try:
            moved[segment_in(path).end] = path
        except ArchiveError as problem:
            problems.append(str(problem))
    base, named = (AuditHead(), "") if segment is None else (segment.end, segment.file)
    while base.seq > 0:
        path = moved.get(base, Path(named))
        try:
            found = segment_in(path)
            if found.end != base or found.first > found.last or not is_ours(found):
                raise ArchiveError(f"{path}: not the archive that ends at entry {base.seq}")
        except ArchiveError as problem:
            problems.append(
                f"entries 1 to {base.seq} are archived and cannot be checked: {problem}; "
                "name it with --archive FILE"
            )
            break
        files.insert(0, path)
        base, named = found.begin, found.older
    return Past(tuple(files), base, tuple(problems))


class _LastLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    archive: ArchivedSegment


def _entry(path: Path, number: int, line: str) -> AuditEntry:
    try:
        found = msgspec.json.decode(line, type=_Line)
        # The standard library's numbers, as when the entry was made.
        data = canonical(json.loads(line)["data"])
    except (ValueError, RecursionError):
        raise ArchiveError(f"{path}: line {number} is no entry") from None
    return AuditEntry(found.seq, found.ts, found.kind, data, found.prev, found.hash)


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    ts: float
    kind: str
    data: msgspec.Raw
    prev: str
    hash: str

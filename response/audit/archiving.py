"""Moving old entries of the record to an archive, and out of the database."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from response.audit import checkpoints
from response.audit.archive import (
    KIND,
    ArchivedSegment,
    ArchiveError,
    entries_in,
    newest,
    write_archive,
)
from response.audit.chain import AuditEntry, AuditHead, check_chain
from response.audit.log import Audit, AuditStore
from response.audit.signing import Signer


def archive(
    store: AuditStore, signer: Signer, before: float, file: Path, now: float, by: str
) -> ArchivedSegment:
    """Move everything before a time, up to the last checkpoint there, to a new ``file``.

    The newest checkpoint stays. The entries are deleted when the file is on disk and was read back,
    and together with an entry that says so, or not at all. Raises `ArchiveError` where nothing
    can be moved, OSError where the file cannot be written.
    """
    record = store.owner_id()
    old = newest(store.audit_entries(kind=KIND), record, signer.public)
    begin = AuditHead() if old is None else old.end
    last = _end(store, before)
    if last is None:
        raise ArchiveError("nothing to archive: there is no checkpoint before, but the newest")
    segment = ArchivedSegment(
        record, begin.seq + 1, last.seq, begin.hash, last.hash, str(file.absolute()),
        "" if old is None else old.file, signer.public,
    ).signed_by(signer)  # fmt: skip
    write_archive(store.audit_entries(upto=last.seq), segment)
    _read_back(file, segment, begin)
    with store.transaction():
        if newest(store.audit_entries(kind=KIND), record, signer.public) != old:
            raise ArchiveError(f"something was archived meanwhile: {file} is of no use")
        Audit(store).append(now, "archived", {**asdict(segment), "by": by})
        store.drop_archived(segment.last)
    return segment


def _read_back(file: Path, segment: ArchivedSegment, begin: AuditHead) -> None:
    """Raise `ArchiveError`, and remove the file, where it is not a whole part of a chain."""
    try:
        problems = check_chain(entries_in(file), segment.end, begin).problems
    except ArchiveError as problem:
        problems = (str(problem),)
    if problems:
        file.unlink()
        raise ArchiveError(f"the record is not whole, and stays as it is: {problems[0]}")


def _end(store: AuditStore, before: float) -> AuditEntry | None:
    """The last checkpoint of which all entries are older, and after which another follows."""
    last = previous = None
    for entry in store.audit_entries():
        if entry.ts >= before:
            break
        if entry.kind == checkpoints.KIND:
            previous, last = last, entry
    if last is not None and not any(store.audit_entries(last.seq, checkpoints.KIND)):
        return previous
    return last

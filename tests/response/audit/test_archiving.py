"""Old entries move to signed files: nothing is lost, left out or put in without being found."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from response.audit import archiving
from response.audit.archive import ArchiveError
from response.audit.chain import AuditReport
from response.audit.checkpoints import FILE, Checkpoint, read_file
from response.audit.log import Audit
from response.audit.signing import signer_of
from response.state.backup import back_up, restore
from response.state.soundness import problems_of
from response.state.store import FILE as DATABASE
from response.state.store import Store, StoreError

pytestmark = pytest.mark.threat("audit-anchor")
DAY = 86_400.0


def add_days(state: Path, first: int, days: int) -> list[Checkpoint]:
    """Three entries and a checkpoint a day."""
    store = Store.open(state, 1.0)
    audit = Audit(store, signer_of(state, lambda size: bytes(range(size))), state)
    made = []
    for day in range(first, first + days):
        for number in range(3):
            audit.append(day * DAY + number, "hold", {"on": True, "by": "ana", "x": 0.1 + number})
        sealed = audit.seal(day * DAY + 100)
        assert sealed is not None
        made.append(sealed)
    store.close()
    return made


def move(state: Path, before_day: float, file: Path, day: float = 50) -> tuple[int, int]:
    store, signer = Store.open(state, 1.0), signer_of(state)
    assert signer is not None
    try:
        moved = archiving.archive(store, signer, before_day * DAY, file, day * DAY, "ana")
    finally:
        store.close()
    return moved.first, moved.last


def verified(state: Path, *archives: Path, witnesses: tuple[Checkpoint, ...] = ()) -> AuditReport:
    store, signer = Store.open(state, 1.0), signer_of(state)
    assert signer is not None
    try:
        kept = read_file(state / FILE)
        return Audit(store).verify_signed(signer.public, kept, witnesses, archives)
    finally:
        store.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Six days, of which four are in three archives, with the entries about the first two."""
    place = tmp_path / "state"
    add_days(place, 0, 3)
    assert move(place, 1, tmp_path / "1.jsonl", 2.5) == (1, 4)
    add_days(place, 3, 3)
    assert move(place, 2, tmp_path / "2.jsonl", 5.5) == (5, 8)
    assert move(place, 5, tmp_path / "3.jsonl", 5.6) == (9, 21)
    return place


def test_every_archive_is_followed_and_witnessed(state: Path, tmp_path: Path) -> None:
    made = add_days(state, 6, 1)
    report = verified(state, witnesses=tuple(made))
    assert report.problems == ()
    assert (report.entries, report.witnessed_to) == (report.head.seq, made[-1].seq)
    away = tmp_path / "away"
    away.mkdir()
    moved = [path.rename(away / path.name) for path in sorted(tmp_path.glob("*.jsonl"))]
    assert "entries 1 to 21 are archived" in verified(state).problems[0]
    assert "entries 1 to 8 are archived" in verified(state, moved[2]).problems[0]
    assert "entries 1 to 4 are archived" in verified(state, *moved[1:]).problems[0]
    assert verified(state, *moved).problems == ()


def test_the_state_alone_is_sound_and_so_is_its_backup(state: Path, tmp_path: Path) -> None:
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    assert problems_of(state) == []
    back_up(state, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "again", 60 * DAY)
    assert problems_of(tmp_path / "again") == []
    store = Store.open(state, 1.0)
    assert Audit(store).verify().whole
    store.close()


def test_what_was_not_archived_is_missed(state: Path) -> None:
    raw = sqlite3.connect(state / DATABASE)
    raw.execute("DROP TRIGGER audit_is_not_cut")  # it was put back
    raw.execute("DELETE FROM audit WHERE seq=22")
    raw.commit()
    raw.close()
    assert "gap: entry 22 missing" in "\n".join(verified(state).problems)
    assert "gap: entry 22 missing" in "\n".join(problems_of(state))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"x":1.1', '"x":1.2'),
        ('"last":4', '"last":3'),
        ('{"archive"', '{"archived"'),
        ('"seq":2,', '"seq":3,'),
    ],
)
def test_a_changed_archive_is_found(state: Path, tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "1.jsonl"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert not verified(state).whole


def test_a_line_taken_out_or_cut_short_is_found(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "2.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    for index in range(len(lines)):
        file.write_text("".join(lines[:index] + lines[index + 1 :]))
        assert not verified(state).whole
    file.write_text("".join(lines)[:-20])
    assert "no archive of an audit" in "\n".join(verified(state).problems)
    file.write_text("".join(lines))
    assert verified(state).whole


def test_the_archive_of_another_record_does_not_count(state: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    add_days(other, 0, 3)
    (tmp_path / "1.jsonl").unlink()
    move(other, 1, tmp_path / "1.jsonl")
    assert "not the archive that ends at entry 4" in "\n".join(verified(state).problems)


def test_nothing_is_deleted_unless_the_file_is_there(state: Path, tmp_path: Path) -> None:
    add_days(state, 6, 1)
    before = verified(state)
    with pytest.raises(ArchiveError, match="exists already"):
        move(state, 6, tmp_path / "1.jsonl")
    with pytest.raises(ArchiveError, match="nothing to archive"):
        move(state, 5, tmp_path / "4.jsonl")
    with pytest.raises(OSError, match="No such file"):
        move(state, 6, tmp_path / "nowhere" / "4.jsonl")
    assert verified(state) == before
    assert not (tmp_path / "4.jsonl").exists()
    edited = tmp_path / "edited"
    shutil.copytree(state, edited)
    raw = sqlite3.connect(edited / DATABASE)
    raw.execute("DROP TRIGGER audit_is_not_changed")
    raw.execute('UPDATE audit SET data=\'{"by":"bob"}\' WHERE seq=22')
    raw.commit()
    raw.close()
    with pytest.raises(ArchiveError, match="not whole, and stays as it is: entry 22 was edited"):
        move(edited, 9, tmp_path / "4.jsonl")
    assert not (tmp_path / "4.jsonl").exists()


def test_who_writes_meanwhile_goes_on(state: Path, tmp_path: Path) -> None:
    add_days(state, 6, 2)
    store = Store.open(state, 1.0)
    audit = Audit(store, signer_of(state), state)
    audit.append(9 * DAY, "hold", {"on": True, "by": "ana"})
    next(audit.entries())
    move(state, 7, tmp_path / "4.jsonl", 9.5)
    audit.append(10 * DAY, "hold", {"on": False, "by": "ana"})
    assert audit.seal(10 * DAY) is not None
    with pytest.raises(StoreError, match="append-only"):
        store._db.execute("DELETE FROM audit WHERE seq=?", (store.audit_head().seq,))
    store.close()
    assert verified(state).problems == ()


def test_the_newest_checkpoint_stays(state: Path, tmp_path: Path) -> None:
    add_days(state, 6, 2)
    move(state, 1000, tmp_path / "4.jsonl")
    report = verified(state)
    assert report.whole and report.signed_to > 0
    with pytest.raises(ArchiveError, match="nothing to archive"):
        move(state, 1000, tmp_path / "5.jsonl")

"""Someone with write access to the database, but without the key, changes the record."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response.audit import checkpoints
from response.audit.chain import AuditEntry, AuditHead, AuditReport, canonical, next_entry
from response.audit.checkpoints import FILE, Checkpoint, made, read_file
from response.audit.log import Audit
from response.audit.signing import KEY_FILE, KeyProblem, Signer, is_signed, signer_of
from response.state.store import FILE as DATABASE
from response.state.store import Store

KEY = bytes(range(32))


def record(state: Path, entries: int, seal_after: set[int]) -> None:
    """Entries with a checkpoint at the start and after the numbers given."""
    state.mkdir(parents=True, exist_ok=True)
    signer = signer_of(state, lambda count: KEY[:count])
    store = Store.open(state, 1.0)
    audit = Audit(store, signer, state)
    audit.seal(1.0)
    for number in range(entries):
        audit.append(10.0 * number, "alert", {"decision": f"d{number}", "n": number})
        if number in seal_after:
            assert audit.seal(10.0 * number, ending=True) is not None
    store.close()


def verify(state: Path, *witnesses: Checkpoint, key: str | None = None) -> AuditReport:
    signer = signer_of(state)
    public = key if key is not None else signer.public if signer is not None else None
    store = Store.open(state, 1.0)
    try:
        return Audit(store).verify_signed(public, read_file(state / FILE), witnesses)
    finally:
        store.close()


def entries(state: Path) -> list[AuditEntry]:
    raw = sqlite3.connect(state / DATABASE)
    rows = raw.execute("SELECT seq, ts, kind, data, prev, hash FROM audit ORDER BY seq").fetchall()
    raw.close()
    return [AuditEntry(*row) for row in rows]


def replace_all(state: Path, chain: list[AuditEntry]) -> None:
    """Put another chain in the record's place, with a head that fits."""
    raw = sqlite3.connect(state / DATABASE)
    raw.execute("DROP TRIGGER IF EXISTS audit_is_not_changed")
    raw.execute("DROP TRIGGER IF EXISTS audit_is_not_cut")
    raw.execute("DELETE FROM audit")
    raw.executemany(
        "INSERT OR REPLACE INTO audit VALUES(?,?,?,?,?,?)",
        [(e.seq, e.ts, e.kind, e.data, e.prev, e.hash) for e in chain],
    )
    raw.execute("DELETE FROM audit_head")
    if chain:
        raw.execute(
            "INSERT INTO audit_head SELECT 1, seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
        )
    raw.commit()
    raw.close()


def chained(parts: list[AuditEntry]) -> list[AuditEntry]:
    """The same contents as a chain that is right in itself, as a forger would make it."""
    head, result = AuditHead(), []
    for part in parts:
        entry = next_entry(head, part.ts, part.kind, part.values())
        result.append(entry)
        head = AuditHead(entry.seq, entry.hash)
    return result


@pytest.fixture
def state(tmp_path: Path) -> Path:
    record(tmp_path / "state", 6, {2, 4})
    return tmp_path / "state"


def test_a_signed_record_is_whole_and_says_how_far_it_is_signed(state: Path) -> None:
    report = verify(state)
    assert report.problems == ()
    assert [e.kind for e in entries(state)] == [
        "checkpoint", "alert", "alert", "alert", "checkpoint", "alert", "alert", "checkpoint",
        "alert",
    ]  # fmt: skip
    assert (report.entries, report.signed_to) == (9, 7)
    assert stat.S_IMODE((state / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600


def test_checkpoints_come_by_time_by_number_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_ENTRIES", 3)
    store = Store.open(tmp_path, 1.0)
    audit = Audit(store, Signer(KEY), tmp_path)
    assert audit.seal(0.0) is not None
    assert audit.seal(1000.0) is None, "nothing is new: a checkpoint is no news"
    audit.append(1.0, "hold", {})
    assert audit.seal(59.0) is None
    assert audit.seal(60.0) is not None
    for number in range(3):
        audit.append(61.0, "hold", {"n": number})
        assert (audit.seal(61.0) is not None) == (number == 2)
    audit.append(62.0, "hold", {})
    assert audit.seal(62.0) is None
    assert audit.seal(62.0, ending=True) is not None
    assert verify_with(store, tmp_path) == ()
    assert Audit(store).seal(99.0) is None, "who has no key signs nothing"


def verify_with(store: Store, state: Path) -> tuple[str, ...]:
    return Audit(store).verify_signed(Signer(KEY).public, read_file(state / FILE)).problems


def test_a_tail_cut_off_behind_a_checkpoint_is_missed(state: Path) -> None:
    """The forger sets the head back, so that the chain itself is whole."""
    for keep in range(8):
        copy = state.with_name(f"cut{keep}")
        shutil.copytree(state, copy)
        replace_all(copy, entries(copy)[:keep])
        problems = verify(copy).problems
        assert any("the end is cut off: checkpoint 3 was made at entry 8" in p for p in problems)


def test_what_no_checkpoint_covers_yet_is_said_to_be_unsigned(state: Path) -> None:
    replace_all(state, entries(state)[:8])
    report = verify(state)
    assert report.whole, "an honest limit: nobody had signed entry 9"
    assert report.signed_to == 7


def test_a_record_written_anew_without_the_key_is_found(state: Path) -> None:
    forged = [replace(e, data=e.data.replace("d1", "d9")) for e in entries(state)]
    replace_all(state, chained(forged))
    report = verify(state)
    assert "written anew" in "\n".join(report.problems)
    # … also when the checkpoints are made anew, with another key.
    store = Store.open(state, 1.0)
    record_id = store.owner_id()
    store.close()
    other = Signer(bytes(32))
    head, chain = AuditHead(), []
    for old in forged:
        data = old.values()
        if old.kind == "checkpoint":
            data = asdict(made(other, data["number"], old.ts, record_id, head))
        entry = next_entry(head, old.ts, old.kind, data)
        chain.append(entry)
        head = AuditHead(entry.seq, entry.hash)
    replace_all(state, chain)
    problems = "\n".join(verify(state).problems)
    assert "is not signed by the key" in problems
    assert "written anew" in problems


def test_checkpoints_taken_out_are_missed(state: Path) -> None:
    replace_all(state, chained([e for e in entries(state) if e.kind != "checkpoint"]))
    assert "the end is cut off" in "\n".join(verify(state).problems)
    (state / FILE).unlink()
    assert verify(state).problems == ("there is a key, but the record has no checkpoint",)
    public = Signer(KEY).public
    (state / KEY_FILE).unlink()
    assert verify(state).whole, "nothing is left that knows of a key"
    assert not verify(state, key=public).whole, "but who noted the key elsewhere does"


def test_files_beside_the_record(state: Path) -> None:
    witness = read_file(state / FILE)
    assert witness is not None
    (state / FILE).unlink()
    assert verify(state).problems == ("audit.checkpoint is missing, though the record has "
                                      "checkpoints",)  # fmt: skip
    (state / FILE).write_text(canonical(asdict(replace(witness, seq=3))))
    assert any("not signed by the key" in p for p in verify(state).problems)
    # Everything here set back to checkpoint 2, with what the record itself tells of it: only a
    # copy kept elsewhere knows better.
    chain = entries(state)[:5]
    replace_all(state, chain)
    (state / FILE).write_text(chain[4].data)
    assert verify(state).whole
    assert "checkpoint 3 was made at entry 8" in "\n".join(verify(state, witness).problems)


def test_a_key_that_is_lost_or_broken_is_said(state: Path) -> None:
    (state / KEY_FILE).unlink()
    assert "the key is missing" in verify(state).problems[-1]
    assert verify(state, key=Signer(KEY).public).whole
    (state / KEY_FILE).write_text("nonsense")
    with pytest.raises(KeyProblem, match="no key of 32 bytes"):
        signer_of(state)


def test_a_checkpoint_of_another_record_says_nothing_about_this_one(
    state: Path, tmp_path: Path
) -> None:
    record(tmp_path / "other", 6, {2, 4})
    shutil.copy(tmp_path / "other" / FILE, state / FILE)
    assert not verify(state).whole


def test_a_signature_covers_everything_that_a_checkpoint_says() -> None:
    checkpoint = made(Signer(KEY), 1, 5.0, "ab", AuditHead(4, "cd"))
    assert checkpoint.genuine
    for changed in (
        replace(checkpoint, number=2),
        replace(checkpoint, ts=6.0),
        replace(checkpoint, record="ac"),
        replace(checkpoint, seq=5),
        replace(checkpoint, hash="ce"),
        replace(checkpoint, key=Signer(bytes(32)).public),
        replace(checkpoint, signature="00" * 64),
        replace(checkpoint, signature="no"),
    ):
        assert not changed.genuine
    assert not is_signed("zz", b"", "")


COLUMNS = ("ts", "kind", "data", "prev", "hash", "seq")
tampering = st.one_of(
    st.tuples(st.just("edit"), st.integers(1, 9), st.sampled_from(COLUMNS)),
    st.tuples(st.just("delete"), st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.just("swap"), st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.just("cut"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("anew"), st.integers(1, 9), st.booleans()),
    st.tuples(st.just("insert"), st.integers(0, 9), st.booleans()),
)


@pytest.mark.thorough
@given(st.lists(tampering, min_size=1, max_size=3))
def test_no_tampering_with_the_rows_passes_for_the_record(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, object]]
) -> None:
    """Rows edited, taken out, put in, moved, cut or chained anew, in any combination: whatever
    the signed part is not any more, is found."""
    state = tmp_path_factory.mktemp("audit") / "state"
    record(state, 6, {2, 4})
    before = entries(state)
    chain = list(before)
    for what, at, how in changes:
        index = min(at, len(chain)) - 1
        if what == "cut":
            chain = chain[:at]
        elif what == "insert":
            extra = AuditEntry(index + 2, 5.0, "hold", "{}", "0" * 64, "f" * 64)
            chain.insert(max(index, 0), extra)
            chain = chained(chain) if how else chain
        elif not chain:
            continue
        elif what == "edit":
            chain[index] = _edited(chain[index], str(how))
        elif what == "delete":
            assert isinstance(how, int)
            del chain[min(index, how - 1) : max(index, how - 1)]
        elif what == "swap":
            assert isinstance(how, int)
            other = min(how, len(chain)) - 1
            chain[index], chain[other] = chain[other], chain[index]
        else:
            chain[index] = replace(chain[index], ts=chain[index].ts + 1)
            chain = chained(chain)
    replace_all(state, chain)
    stored = entries(state)
    report = verify(state)
    signed_part = before[:8]
    assert report.whole <= (stored[:8] == signed_part)
    if stored == before:
        assert report.whole


def _edited(entry: AuditEntry, column: str) -> AuditEntry:
    value: dict[str, object] = {
        "ts": entry.ts + 1, "kind": "lost", "data": '{"x":1}', "prev": "1" * 64,
        "hash": "2" * 64, "seq": entry.seq + 20,
    }  # fmt: skip
    return replace(entry, **{column: value[column]})  # type: ignore[arg-type]

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response.audit.archive import as_jsonl
from response.audit.chain import (
    AuditEntry,
    AuditHead,
    canonical,
    check_chain,
    entry_hash,
    next_entry,
)
from response.audit.log import Audit
from response.state.store import FILE, Store


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    made = Audit(Store.open(tmp_path, 1.0))
    for number in range(6):
        made.append(10.0 + number, "alert", {"decision": f"d{number % 2}", "what": "größer"})
    return made


def tamper(directory: Path, *statements: str) -> None:
    """Change the file as someone with write access would, the triggers out of the way."""
    raw = sqlite3.connect(directory / FILE)
    raw.execute("DROP TRIGGER audit_is_not_changed")
    raw.execute("DROP TRIGGER audit_is_not_cut")
    for statement in statements:
        assert raw.execute(statement).rowcount > 0
    raw.commit()
    raw.close()


def test_an_untouched_record_is_whole(audit: Audit) -> None:
    report = audit.verify()
    assert report.whole
    assert (report.entries, report.head.seq) == (6, 6)


def test_an_empty_record_is_whole(tmp_path: Path) -> None:
    assert Audit(Store.open(tmp_path, 1.0)).verify().whole


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["UPDATE audit SET data='{}' WHERE seq=3"], "entry 3 was edited"),
        (["UPDATE audit SET ts=ts+1 WHERE seq=6"], "entry 6 was edited"),
        (["UPDATE audit SET kind='lost' WHERE seq=1"], "entry 1 was edited"),
        (["DELETE FROM audit WHERE seq=4"], "gap: entry 4 missing before 5"),
        (["DELETE FROM audit WHERE seq IN (2,3,4)"], "gap: entry 2 to 4 missing before 5"),
        (["DELETE FROM audit WHERE seq=1"], "gap: entry 1 missing before 2"),
        (["DELETE FROM audit WHERE seq>4"], "entries 5 to 6 are missing"),
        (["DELETE FROM audit"], "entries 1 to 6 are missing"),
        (["DELETE FROM audit WHERE seq>4", "DELETE FROM audit_head"], "not the one that was last"),
        (
            [
                "UPDATE audit SET seq=99 WHERE seq=2",
                "UPDATE audit SET seq=2 WHERE seq=3",
                "UPDATE audit SET seq=3 WHERE seq=99",
            ],
            "entry 2 does not follow entry 1",
        ),
        (
            ["INSERT INTO audit SELECT 7, ts, kind, data, prev, hash FROM audit WHERE seq=6"],
            "entry 7 does not follow",
        ),
    ],
)
def test_every_way_to_change_the_past_is_found(
    audit: Audit, tmp_path: Path, statements: list[str], finding: str
) -> None:
    tamper(tmp_path, *statements)
    report = audit.verify()
    assert not report.whole
    assert finding in "\n".join(report.problems)


def test_an_edit_with_its_own_hash_made_right_breaks_the_next_entry(
    audit: Audit, tmp_path: Path
) -> None:
    third = list(audit.entries())[2]
    forged = entry_hash(3, third.ts, "lost", third.data, third.prev)
    tamper(tmp_path, f"UPDATE audit SET kind='lost', hash='{forged}' WHERE seq=3")
    assert audit.verify().problems == ("entry 4 does not follow entry 3: one of them was replaced",)


def test_the_database_itself_refuses_changes(audit: Audit, tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / FILE)
    for statement in ("UPDATE audit SET ts=0", "DELETE FROM audit WHERE seq=6"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)
    raw.close()


def test_entries_of_one_decision_or_kind(audit: Audit) -> None:
    assert [e.seq for e in audit.entries(decision="d1")] == [2, 4, 6]
    assert [e.seq for e in audit.entries(after=3)] == [4, 5, 6]
    assert list(audit.entries(kind="spoof")) == []


def test_an_entry_goes_with_the_transaction_around_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path, 1.0)
    audit = Audit(store)
    with pytest.raises(RuntimeError), store.transaction():
        audit.append(1.0, "hold", {"by": "ops"})
        store.set_meta("hold", "ops")
        raise RuntimeError
    assert list(audit.entries()) == []
    audit.append(2.0, "hold", {"by": "ops"})
    assert audit.verify().whole


def test_two_writers_make_one_chain(tmp_path: Path) -> None:
    one, two = Audit(Store.open(tmp_path, 1.0)), Audit(Store.open(tmp_path, 1.0))
    for number in range(5):
        one.append(number, "switch", {"n": number})
        two.append(number, "policy", {"n": number})
    assert one.verify().whole
    assert [e.kind for e in one.entries()] == ["switch", "policy"] * 5


def test_a_jsonl_line_can_be_checked_by_anyone(audit: Audit) -> None:
    for entry in audit.entries():
        line = json.loads(as_jsonl(entry))
        data = canonical(line["data"])
        assert line["hash"] == entry_hash(line["seq"], line["ts"], line["kind"], data, line["prev"])


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
data_of_entries = st.lists(
    st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=6
)


def chain_of(parts: list[dict[str, Any]]) -> tuple[list[AuditEntry], AuditHead]:
    head, entries = AuditHead(), []
    for number, data in enumerate(parts):
        entry = next_entry(head, number, "alert", data)
        entries.append(entry)
        head = AuditHead(entry.seq, entry.hash)
    return entries, head


@given(data_of_entries)
def test_a_chain_as_made_is_whole(parts: list[dict[str, Any]]) -> None:
    entries, head = chain_of(parts)
    assert check_chain(entries, head).whole
    assert [entry.values() for entry in entries] == parts


@given(data_of_entries.filter(lambda parts: len(parts) > 1), st.data())
def test_no_other_order_or_choice_of_entries_is_whole(
    parts: list[dict[str, Any]], draw: st.DataObject
) -> None:
    entries, head = chain_of(parts)
    other = draw.draw(st.lists(st.sampled_from(entries), max_size=len(entries) + 1))
    assert check_chain(other, head).whole == (other == entries)

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.alert import Alert, Contribution, Hop
from policies.feed_block import FeedBlock, NarrowListing
from policies.model import Mode, Service
from policies.semantics.prefixes import fewest, prefix_of
from response.decision import Decision, InstalledRule
from response.feed_listing import ListFeed
from response.state import schema, store
from response.state.interfaces import FlowFilter, StoredAlert, StoredFlow
from response.state.store import Store, StoreError
from topology.records import Binding, FlowRecord, Link


def decision(number: int, state: str = "active", ts: float = 100.0, ttl: int = 60) -> Decision:
    return Decision(
        id=f"d{number}",
        number=number,
        ts=ts,
        action="quarantine",
        target=f"h{number}",
        addresses=(f"10.0.0.{number}", f"fd00::{number}"),
        scope="host",
        state=state,  # type: ignore[arg-type]
        ttl=ttl,
        alert="a1",
        why="swept",
        would_release_if="time",
        by="septum",
        rules=(InstalledRule(1, 3, 0xFFFF_FFFF_FFFF_FFFF),),
    )


def alert() -> Alert:
    return Alert(
        "a1",
        9.5,
        "10.0.0.1",
        "scan",
        "T1046",
        0.999,
        0.99,
        3.25,
        (Contribution("peers", 12, 0, 2, 3.25),),
        (Hop(9.0, "10.0.0.1", "10.0.0.2", "tcp/22"),),
        (3, 4),
        "ensemble 1",
    )


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return Store.open(tmp_path, 1.0)


def test_the_flow_table_has_every_field_of_a_record() -> None:
    assert FlowRecord.__struct_fields__ == schema.FLOW_COLUMNS


def test_decisions_survive_reopening_with_every_field(opened: Store, tmp_path: Path) -> None:
    made = decision(1)
    opened.save_decision(made)
    opened.save_decision(decision(2, "proposed"))
    opened.close()
    again = Store.open(tmp_path, 2.0)
    assert again.decision("d1") == made
    assert [d.id for d in again.decisions()] == ["d1", "d2"]
    assert [d.id for d in again.decisions("proposed")] == ["d2"]
    assert again.decision("d9") is None


def test_active_means_active_and_not_past_its_time(opened: Store) -> None:
    for number, state in ((1, "active"), (2, "proposed"), (3, "released"), (4, "active")):
        opened.save_decision(decision(number, state, ts=100.0 * number))
    assert [d.id for d in opened.active_decisions(159.9)] == ["d1", "d4"]
    assert [d.id for d in opened.active_decisions(160.0)] == ["d4"]
    assert [d.id for d in opened.overridden_decisions(200.0)] == ["d3"]
    assert opened.overridden_decisions(360.0) == ()


def test_a_decision_number_is_never_given_twice(opened: Store, tmp_path: Path) -> None:
    other = Store.open(tmp_path, 1.0)
    given_out = [opened.next_decision_number(), other.next_decision_number()]
    opened.close()
    given_out.append(Store.open(tmp_path, 2.0).next_decision_number())
    assert given_out == [1, 2, 3]


def test_bindings_and_links_are_replaced_whole(opened: Store) -> None:
    first = Binding("00:00:00:00:00:01", "10.0.0.1", 1, 2, "web1")
    second = Binding("00:00:00:00:00:02", "10.0.0.2", 2**63 - 1, 3)
    opened.save_bindings([first, second])
    assert opened.bindings() == (first, second)
    opened.save_bindings([second])
    assert opened.bindings() == (second,)
    opened.save_links([Link(1, 2, 3, 4)])
    assert opened.links() == (Link(1, 2, 3, 4),)


def flow(ts: float, src: str = "10.0.0.1", dst: str = "10.0.0.2", **more: object) -> FlowRecord:
    return FlowRecord(ts, src, dst, "tcp", dst_port=22, **more)  # type: ignore[arg-type]


def test_the_end_of_a_connection_completes_its_row(opened: Store) -> None:
    start = flow(5.0, phase="start", verdict="allow", switch=1)
    opened.append_flows([StoredFlow(start, 0.25)])
    opened.append_flows([StoredFlow(flow(5.0, phase="end", packets_out=7, duration=2.0), 0.5)])
    ((_, found),) = opened.flows()
    assert found.score == 0.5
    assert found.record == msgspec.structs.replace(start, phase="end", packets_out=7, duration=2.0)


def test_flows_are_found_by_ends_verdict_and_time(opened: Store) -> None:
    opened.append_flows(
        [
            StoredFlow(flow(1.0, verdict="allow")),
            StoredFlow(flow(2.0, dst="10.0.0.3", verdict="deny")),
            StoredFlow(flow(3.0, src="10.0.0.9", verdict="deny")),
        ]
    )

    def times(limit: int = 10, **wanted: object) -> list[float]:
        found = opened.flows(FlowFilter(**wanted), limit)  # type: ignore[arg-type]
        return [stored.record.ts for _, stored in found]

    assert times() == [1.0, 2.0, 3.0]
    assert times(limit=2) == [2.0, 3.0]
    assert times(verdict="deny") == [2.0, 3.0]
    assert times(sources=frozenset({"10.0.0.1"}), verdict="deny") == [2.0]
    assert times(targets=frozenset({"10.0.0.2"})) == [1.0, 3.0]
    assert times(since=2.0) == [2.0, 3.0]
    last, _ = opened.flows()[1]
    assert times(after=last) == [3.0]


def test_flow_history_is_bounded(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_FLOWS", 10)
    for ts in range(25):
        opened.append_flows([StoredFlow(flow(float(ts)))])
    assert [stored.record.ts for _, stored in opened.flows()] == [float(t) for t in range(15, 25)]


def test_alerts_come_back_with_their_evidence(opened: Store) -> None:
    stored = StoredAlert(alert(), "active", "within the envelope", "d1", (flow(9.0),))
    later = StoredAlert(alert(), "alert", "already quarantined", "d1")
    opened.save_alert(stored)
    opened.save_alert(later)
    assert opened.alert_of("d1") == stored
    assert opened.alerts() == (stored, later)
    assert opened.alert_of("d2") is None


def test_the_newest_snapshots_are_kept(opened: Store) -> None:
    assert opened.latest_snapshot("detector") is None
    opened.save_snapshot(0.5, "actions", b"a")
    for ts in range(8):
        opened.save_snapshot(float(ts), "detector", bytes([ts]))
    assert opened.latest_snapshot("detector") == (7.0, b"\x07")
    assert opened.latest_snapshot("actions") == (0.5, b"a")


def test_a_store_of_the_first_layout_is_brought_up_to_date(tmp_path: Path) -> None:
    before = Store.open(tmp_path, 1.0)
    before.save_decision(decision(1))
    owner = before.owner_id()
    before.close()
    old = sqlite3.connect(tmp_path / "septum.db")
    old.executescript(
        "DROP TABLE cases; ALTER TABLE flows DROP COLUMN decision;"
        " ALTER TABLE flows DROP COLUMN feed; ALTER TABLE flows DROP COLUMN exporter;"
        " PRAGMA user_version=1;"
    )
    old.close()
    again = Store.open(tmp_path, 2.0)
    again.save_pending_reward("d1", "{}")
    assert again.pending_rewards() == ("{}",)
    assert (again.owner_id(), len(again.decisions())) == (owner, 1)
    again.save_pending_reward("d1", None)
    assert again.pending_rewards() == ()


def test_a_failed_transaction_keeps_nothing(opened: Store) -> None:
    with pytest.raises(RuntimeError), opened.transaction():
        opened.save_decision(decision(1))
        opened.set_meta("x", "y")
        raise RuntimeError
    assert opened.decisions() == ()
    assert opened.meta("x") is None
    opened.save_decision(decision(1))
    assert len(opened.decisions()) == 1


def test_the_owner_id_stays_and_differs_between_directories(tmp_path: Path) -> None:
    one, two = Store.open(tmp_path / "a", 1.0), Store.open(tmp_path / "b", 1.0)
    assert one.owner_id() == Store.open(tmp_path / "a", 2.0).owner_id()
    assert one.owner_id() != two.owner_id()
    assert len(bytes.fromhex(one.owner_id())) == 8


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    Store.open(tmp_path / "state", 1.0)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / store.FILE).stat().st_mode & 0o777 == 0o600


def test_no_state_and_unreadable_state_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no state here") as missing:
        Store.open(tmp_path, 1.0, create=False)
    assert "\n" not in str(missing.value)
    (tmp_path / store.FILE).write_bytes(b"not a database, but long enough to look at" * 50)
    (tmp_path / store.FILE).chmod(0o600)
    with pytest.raises(StoreError, match="is damaged: file is not a database"):
        Store.open(tmp_path, 1.0)


def test_a_newer_layout_is_refused(opened: Store, tmp_path: Path) -> None:
    opened.close()
    raw = sqlite3.connect(tmp_path / store.FILE)
    raw.execute("PRAGMA user_version=99")
    raw.close()
    with pytest.raises(StoreError, match="layout 99"):
        Store.open(tmp_path, 1.0)


OTHER_PROCESS = """
import sys
from response.state.store import Store
from topology.records import Binding
mine = Store.open(sys.argv[1], 1.0)
for turn in range(40):
    mine.save_bindings([Binding("00:00:00:00:00:01", f"10.0.0.{turn}", 1, 1)] * 3)
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    mine = Store.open(tmp_path, 1.0)
    root = Path(store.__file__).parents[2]
    other = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(tmp_path)], cwd=root)
    number = 0
    while other.poll() is None or number < 40:
        number = mine.next_decision_number()
        mine.save_decision(decision(number))
        assert len({b.ip for b in mine.bindings()}) <= 1
        time.sleep(0.002)  # SQLite is not fair: who never pauses can keep the other out
    assert other.returncode == 0
    assert len(mine.decisions()) == number
    assert mine.bindings() == (Binding("00:00:00:00:00:01", "10.0.0.39", 1, 1),) * 3


def test_opening_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """A controller starts while the analysis of the one before still writes."""
    writer = Store.open(tmp_path, 1.0)
    with writer.transaction():
        writer.set_meta("x", "1")
        second = Store.open(tmp_path, 2.0, patience=0.01)
        assert second.owner_id() == writer.owner_id()
        with pytest.raises(StoreError, match="locked"):
            second.set_meta("y", "2")
    second.set_meta("y", "2")


flow_records = st.builds(
    FlowRecord,
    ts=st.floats(0, 2e9),
    src_ip=st.sampled_from(["10.0.0.1", "fd00::1"]),
    dst_ip=st.sampled_from(["10.0.0.2", "fd00::2"]),
    proto=st.sampled_from(["tcp", "icmp"]),
    dst_port=st.integers(0, 65535),
    bytes_out=st.none() | st.integers(0, 2**62),
    state=st.sampled_from([None, "established", "denied"]),
    switch=st.none() | st.integers(0, 2**63 - 1),
)


@given(st.lists(flow_records, max_size=3))
@settings(max_examples=50)
def test_an_alert_and_its_evidence_come_back(records: list[FlowRecord]) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder), 0.0)) as store:
        stored = StoredAlert(alert(), "alert", "", evidence=tuple(records))
        store.save_alert(stored)
        assert store.alerts() == (stored,)


def test_what_other_versions_wrote_can_be_read(opened: Store) -> None:
    """Fields that are not known are passed over; those that are missing have their default."""
    opened.save_decision(decision(1))
    with opened.transaction():
        opened._db.execute(
            "UPDATE decisions SET data = json_remove(json_set(data, '$.mood', 'good'), '$.until')"
        )
    assert opened.decision("d1") == decision(1)


def test_what_a_feed_lists_is_kept_whole_and_forgotten_when_it_lists_nothing(
    tmp_path: Path,
) -> None:
    kept = Store.open(tmp_path, 0.0)
    prefixes = fewest(prefix_of(ip_network(text)) for text in ("192.0.2.0/25", "2001:db8::/48"))
    narrow = (NarrowListing(Service(6, 443, 443), "to", prefixes),
              NarrowListing(Service(17), "from", prefixes[:1]))  # fmt: skip
    listed = ListFeed.of(FeedBlock("drop", Mode.ENFORCE, prefixes, narrow))
    kept.save_feed_block(listed)
    assert kept.feed_blocks() == (listed,)
    assert kept.feed_blocks()[0].block == FeedBlock("drop", Mode.ENFORCE, prefixes, narrow)
    kept.save_feed_block(ListFeed.of(FeedBlock("drop", Mode.AUDIT, ())))
    assert kept.feed_blocks() == ()

"""The store in the state directory: decisions, audit, bindings, flow history, snapshots.

The controller writes bindings and links, the analysis everything else, and the
command line reads while both run. A decision, its audit entries and its alert
go in one transaction that is on disk when it returns; flow history may lose
its last second in a power cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import msgspec

from response.audit.chain import AuditEntry, AuditHead
from response.decision import Decision, DecisionState
from response.feed_listing import ListFeed
from response.state import schema
from response.state.database import FILE, Database
from response.state.database_connection import Parameters, StoreDamaged, StoreError
from response.state.interfaces import FlowFilter, StoredAlert, StoredFlow
from topology.records import Binding, DroppedSource, FlowRecord, Link

__all__ = ["FILE", "Store", "StoreError"]

MAX_FLOWS = 500_000
MAX_ALERTS = 50_000
MAX_SNAPSHOTS = 5
PAGE = 500
"""Audit entries read at once."""

_Value = TypeVar("_Value")
_NO_FILTER = FlowFilter()
# What a later version wrote in addition is passed over; what an earlier one did not have is as if
# it had not been given.
_DECISION = msgspec.json.Decoder(Decision)
_ALERT = msgspec.json.Decoder(StoredAlert)
_ENTRY_TYPES = (int, float, str, str, str, str)
_NAMES = msgspec.json.Decoder(dict[str, list[str]])
_flow_fields = attrgetter(*schema.FLOW_COLUMNS)


def _text(value: Decision | StoredAlert) -> str:
    return msgspec.json.encode(value).decode()


class Store(Database):
    """See `response.state.interfaces.StateStore`. Use it from the thread that opened it."""

    def save_host_names(self, names: Mapping[str, Sequence[str]]) -> None:
        """Which addresses each declared host has, for people who ask by name."""
        with self.transaction(durable=False):
            self.set_meta("hosts", msgspec.json.encode(names).decode())

    def host_names(self) -> dict[str, list[str]]:
        return self._decoded(_NAMES, self.meta("hosts") or "{}")

    # -- decisions -------------------------------------------------------------

    def save_decision(self, decision: Decision) -> None:
        with self.transaction():
            self._db.execute(
                "INSERT INTO decisions VALUES(?,?,?,?,?) ON CONFLICT(number) DO UPDATE SET"
                " state=excluded.state, expires=excluded.expires, data=excluded.data",
                (decision.number, decision.id, decision.state, decision.expires,
                 _text(decision)),
            )  # fmt: skip

    def decision(self, decision_id: str) -> Decision | None:
        found = self._decisions("id=?", (decision_id,))
        return found[0] if found else None

    def decisions(self, state: DecisionState | None = None) -> tuple[Decision, ...]:
        """All, or those in one state, oldest first."""
        return self._decisions(":state IS NULL OR state=:state", {"state": state})

    def active_decisions(self, now: float) -> tuple[Decision, ...]:
        """The active decisions, whose rules switches should have."""
        return self._decisions("state='active' AND expires>?", (now,))

    def overridden_decisions(self, now: float) -> tuple[Decision, ...]:
        """Released or rejected before their time was over."""
        return self._decisions("state IN ('released','rejected') AND expires>?", (now,))

    def unsettled_decisions(self, now: float) -> tuple[Decision, ...]:
        """Ended ones whose rules a switch may still carry: their time would still run, or a
        switch confirmed rules and has not said that they are gone."""
        return self._decisions(
            "state IN ('released','expired')"
            " AND (expires>? OR json_array_length(data,'$.rules')>0)",
            (now,),
        )

    def _decisions(self, where: str, parameters: Parameters) -> tuple[Decision, ...]:
        rows = self._db.execute(
            f"SELECT data FROM decisions WHERE {where} ORDER BY number", parameters
        )
        return tuple(self._decoded(_DECISION, data) for (data,) in rows)

    def next_decision_number(self) -> int:
        """A number never given before in this directory, from 1."""
        with self.transaction():
            number = int(self.meta("decision_number") or 0) + 1
            self.set_meta("decision_number", str(number))
        return number

    # -- where things are ------------------------------------------------------

    def save_bindings(self, bindings: Sequence[Binding]) -> None:
        """Replace all bindings by these."""
        with self.transaction(durable=False):
            self._db.execute("DELETE FROM bindings")
            self._db.executemany(
                "INSERT INTO bindings VALUES(?,?,?,?,?)",
                ((b.mac, b.ip, b.switch, b.port, b.host) for b in bindings),
            )

    def bindings(self) -> tuple[Binding, ...]:
        rows = self._db.execute("SELECT * FROM bindings ORDER BY rowid")
        return tuple(Binding(*row) for row in rows)

    def save_links(self, links: Sequence[Link]) -> None:
        """Replace all links by these."""
        with self.transaction(durable=False):
            self._db.execute("DELETE FROM links")
            self._db.executemany(
                "INSERT INTO links VALUES(?,?,?,?)",
                ((k.switch, k.port, k.peer_switch, k.peer_port) for k in links),
            )

    def links(self) -> tuple[Link, ...]:
        rows = self._db.execute("SELECT * FROM links ORDER BY rowid")
        return tuple(Link(*row) for row in rows)

    def save_feed_block(self, listed: ListFeed) -> None:
        """All that a feed lists now; one that lists nothing is forgotten."""
        with self.transaction():
            self._db.execute("DELETE FROM feed_blocks WHERE feed=?", (listed.feed,))
            if listed.block:
                self._db.execute(
                    "INSERT INTO feed_blocks VALUES(?,?,?,?)",
                    (listed.feed, listed.mode, listed.prefixes, listed.narrow),
                )

    def feed_blocks(self) -> tuple[ListFeed, ...]:
        """What every feed listed last, by name."""
        rows = self._db.execute(
            "SELECT feed, mode, prefixes, narrow FROM feed_blocks ORDER BY feed"
        )
        return tuple(ListFeed(*row) for row in rows)

    # -- what was seen ---------------------------------------------------------

    def append_flows(self, flows: Iterable[StoredFlow]) -> None:
        """Add connections; the end of a known one completes its row. The oldest rows are removed
        when it is full."""
        with self.transaction(durable=False):
            self._db.executemany(
                schema.UPSERT_FLOW, ((*_flow_fields(flow.record), flow.score) for flow in flows)
            )
            self._keep_newest("flows", MAX_FLOWS)

    def flows(
        self, wanted: FlowFilter = _NO_FILTER, limit: int = 1000
    ) -> tuple[tuple[int, StoredFlow], ...]:
        """The newest ``limit`` that match, oldest first, each with its row number."""
        where, parameters = ["row>?"], [wanted.after]  # type: tuple[list[str], list[object]]
        for column, addresses in (("src_ip", wanted.sources), ("dst_ip", wanted.targets)):
            if addresses:
                where.append(f"{column} IN ({','.join('?' * len(addresses))})")
                parameters.extend(sorted(addresses))
        if wanted.verdict is not None:
            where.append("verdict=?")
            parameters.append(wanted.verdict)
        if wanted.since is not None:
            where.append("ts>=?")
            parameters.append(wanted.since)
        rows = self._db.execute(
            f"SELECT row, score, {', '.join(schema.FLOW_COLUMNS)} FROM flows"
            f" WHERE {' AND '.join(where)} ORDER BY row DESC LIMIT ?",
            (*parameters, limit),
        ).fetchall()
        return tuple(
            (number, StoredFlow(self._record(fields), score))
            for number, score, *fields in reversed(rows)
        )

    def dropped_sources(
        self, after: int = 0, limit: int = 100
    ) -> tuple[tuple[int, DroppedSource], ...]:
        """Spoofed packets of the newest ``limit`` audit entries about them, oldest first, each with
        its entry's number; only of entries after the number ``after``."""
        rows = self._db.execute(
            "SELECT seq, ts, data FROM audit WHERE kind='spoof' AND seq>?"
            " ORDER BY seq DESC LIMIT ?",
            (after, limit),
        ).fetchall()
        return tuple(
            (seq, DroppedSource(ts, each["switch"], each["port"], each["mac"], each["ip"] or None,
                                each["reason"], each["count"]))
            for seq, ts, data in reversed(rows)
            for each in msgspec.json.decode(data)["most"]
        )  # fmt: skip

    def save_alert(self, stored: StoredAlert) -> None:
        with self.transaction():
            self._db.execute(
                "INSERT INTO alerts(ts, host, decision, data) VALUES(?,?,?,?)",
                (stored.alert.ts, stored.alert.host, stored.decision, _text(stored)),
            )
            self._keep_newest("alerts", MAX_ALERTS)

    def alert_of(self, decision_id: str) -> StoredAlert | None:
        """The alert that led to a decision (later ones of the same host are not it)."""
        row = self._db.execute(
            "SELECT data FROM alerts WHERE decision=? ORDER BY row LIMIT 1", (decision_id,)
        ).fetchone()
        return None if row is None else self._decoded(_ALERT, row[0])

    def alerts(self, limit: int = 1000) -> tuple[StoredAlert, ...]:
        """The newest ``limit``, oldest first."""
        rows = self._db.execute(
            "SELECT data FROM alerts ORDER BY row DESC LIMIT ?", (limit,)
        ).fetchall()
        return tuple(self._decoded(_ALERT, data) for (data,) in reversed(rows))

    # -- what was learned ------------------------------------------------------

    def save_snapshot(self, ts: float, model: str, data: bytes) -> int:
        with self.transaction(durable=False):
            # Numbers are not used twice: a person may still have an old one on the screen.
            number = 1 + int(self.meta("snapshot_number") or 0)
            held = self._db.execute("SELECT coalesce(max(row), 0) FROM snapshots").fetchone()
            number = max(number, 1 + int(held[0]))
            self.set_meta("snapshot_number", str(number))
            self._db.execute("INSERT INTO snapshots VALUES(?,?,?,?)", (number, ts, model, data))
            self._db.execute(
                "DELETE FROM snapshots WHERE model=:model AND row NOT IN"
                " (SELECT row FROM snapshots WHERE model=:model ORDER BY row DESC LIMIT :most)",
                {"model": model, "most": MAX_SNAPSHOTS},
            )
        return number

    def snapshots(self) -> tuple[tuple[int, float, str, int], ...]:
        rows = self._db.execute(
            "SELECT row, ts, model, length(data) FROM snapshots ORDER BY row"
        ).fetchall()
        return tuple((int(row), float(ts), str(model), int(size)) for row, ts, model, size in rows)

    def snapshot(self, number: int) -> tuple[float, str, bytes] | None:
        row = self._db.execute(
            "SELECT ts, model, data FROM snapshots WHERE row=?", (number,)
        ).fetchone()
        return None if row is None else (float(row[0]), str(row[1]), bytes(row[2]))

    def latest_snapshot(self, model: str) -> tuple[float, bytes] | None:
        """When it was taken, and what ``model`` had learned then."""
        row = self._db.execute(
            "SELECT ts, data FROM snapshots WHERE model=? ORDER BY row DESC LIMIT 1", (model,)
        ).fetchone()
        return None if row is None else (float(row[0]), bytes(row[1]))

    def save_pending_reward(self, case_id: str, data: str | None) -> None:
        """Keep an open case of the reward ledger (JSON), or with None forget it."""
        with self.transaction(durable=False):
            if data is None:
                self._db.execute("DELETE FROM cases WHERE id=?", (case_id,))
            else:
                self._db.execute("INSERT OR REPLACE INTO cases VALUES(?,?)", (case_id, data))

    def pending_rewards(self) -> tuple[str, ...]:
        return tuple(data for (data,) in self._db.execute("SELECT data FROM cases ORDER BY id"))

    # -- what was done ---------------------------------------------------------

    def audit_head(self) -> AuditHead:
        row = self._db.execute("SELECT seq, hash FROM audit_head").fetchone()
        return AuditHead() if row is None else AuditHead(*row)

    def put_audit(self, entry: AuditEntry) -> None:
        """Write the chain's next entry and its new head. `response.audit.log` makes entries."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO audit VALUES(?,?,?,?,?,?)",
                (entry.seq, entry.ts, entry.kind, entry.data, entry.prev, entry.hash),
            )
            self._db.execute(
                "INSERT OR REPLACE INTO audit_head VALUES(1,?,?)", (entry.seq, entry.hash)
            )

    def drop_archived(self, upto: int) -> None:
        """Delete entries up to a number; `response.audit.archiving` has them on disk elsewhere."""
        with self.transaction():
            self._db.execute("DROP TRIGGER IF EXISTS audit_is_not_cut")
            self._db.execute("DELETE FROM audit WHERE seq<=?", (upto,))
            self._db.execute(schema.AUDIT_IS_NOT_CUT)

    def audit_entries(
        self, after: int = 0, kind: str | None = None, upto: int | None = None
    ) -> Iterator[AuditEntry]:
        """In order, read page by page: whoever is slow to take them holds nothing open."""
        while True:
            page = self._db.execute(
                "SELECT seq, ts, kind, data, prev, hash FROM audit WHERE seq>:after AND"
                " (:kind IS NULL OR kind=:kind) AND (:upto IS NULL OR seq<=:upto)"
                " ORDER BY seq LIMIT :page",
                {"after": after, "kind": kind, "upto": upto, "page": PAGE},
            )
            for row in page:
                if tuple(map(type, row)) != _ENTRY_TYPES:
                    raise StoreDamaged(self.path, f"the audit has no entry in row {row[0]}")
                yield AuditEntry(*row)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def _keep_newest(self, table: str, most: int) -> None:
        self._db.execute(
            f"DELETE FROM {table} WHERE row <= (SELECT max(row) FROM {table}) - ?", (most,)
        )

    def _record(self, fields: Sequence[object]) -> FlowRecord:
        try:
            named = dict(zip(schema.FLOW_COLUMNS, fields, strict=True))
            return msgspec.convert(named, FlowRecord)
        except msgspec.ValidationError as problem:
            raise StoreDamaged(self.path, f"a connection cannot be read: {problem}") from None

    def _decoded(self, decoder: msgspec.json.Decoder[_Value], data: str | bytes) -> _Value:
        try:
            return decoder.decode(data)
        except (ValueError, TypeError) as problem:
            raise StoreDamaged(self.path, problem) from None

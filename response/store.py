"""The state directory's database: SQLite in WAL mode, one file, several processes.

The controller writes bindings and links, the analysis everything else, and the
command line reads while both run. A decision, its audit entries and its alert
go in one transaction that is on disk when it returns; flow history may lose
its last second in a power cut.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

from response import schema, values
from response.chain import AuditEntry, AuditHead
from response.decisions import Decision, DecisionState
from response.interfaces import FlowFilter, StoredAlert, StoredFlow
from response.messages import ListFeed
from topology.records import Binding, FlowRecord, Link

FILE = "septum.db"
MAX_FLOWS = 500_000
MAX_ALERTS = 50_000
MAX_SNAPSHOTS = 5
PATIENCE = 10.0
"""Seconds that a writer waits for another process's commit before it gives up."""

_NO_FILTER = FlowFilter()
_flow_fields = attrgetter(*schema.FLOW_COLUMNS)


class StoreError(Exception):
    """The state directory cannot be used; the text is one line for a person."""


class Store:
    """See `response.interfaces.StateStore`. Use it from the thread that opened it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._depth = 0

    @classmethod
    def open(
        cls,
        directory: Path | str,
        now: float,
        *,
        create: bool = True,
        patience: float = PATIENCE,
    ) -> Store:
        """Open ``directory/septum.db``, made first where missing unless ``create`` is False.

        ``patience`` is how many seconds a write waits for another process's, once open.

        Raises `StoreError` when the directory holds no state, or one that this
        version cannot read.
        """
        path = Path(directory) / FILE
        if not path.exists():
            if not create:
                raise StoreError(
                    f"{directory}: no state here (no {FILE}); start `septum run` first"
                )
            _make_private(path)
        try:
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            store = cls(path, connection)
            if not store._prepared():
                store._prepare(now)
            connection.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
        except sqlite3.Error as problem:
            raise StoreError(f"{path}: cannot be used: {problem}") from None
        return store

    def close(self) -> None:
        self._db.close()

    def _prepared(self) -> bool:
        """Whether the tables are there; looked up without waiting for who writes."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, schema.VERSION, *schema.UPGRADES):
            raise StoreError(
                f"{self.path}: has layout {version}, this septum reads {schema.VERSION}; "
                "use the version that wrote it"
            )
        return bool(version == schema.VERSION)

    def _prepare(self, now: float) -> None:
        with self.transaction():
            if self._prepared():  # another process was quicker
                return
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            for script in _scripts(version):
                for statement in _statements(script):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={schema.VERSION}")
            if version:
                return
            self._db.execute("INSERT INTO meta VALUES('owner', lower(hex(randomblob(8))))")
            self.set_meta("created", repr(float(now)))

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[None]:
        """All changes inside are kept together; inner calls join the outer one.

        ``durable`` waits for the disk. Raises `StoreError` when the database
        cannot take the change; then nothing of it is kept.
        """
        if self._depth:
            yield
            return
        try:
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
        except sqlite3.Error as problem:
            raise StoreError(f"{self.path}: cannot be written: {problem}") from None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside is as of one moment; writers are not held up."""
        try:
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as problem:
            raise StoreError(f"{self.path}: cannot be read: {problem}") from None

    # -- what the directory is -------------------------------------------------

    def owner_id(self) -> str:
        """64 bits in hexadecimal, drawn once, that mark this directory's switches."""
        owner = self.meta("owner")
        if owner is None:
            raise StoreError(f"{self.path}: carries no owner id; it is damaged")
        return owner

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str | None) -> None:
        with self.transaction():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE key=?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (key, value))

    def save_host_names(self, names: Mapping[str, Sequence[str]]) -> None:
        """Which addresses each declared host has, for people who ask by name."""
        self.set_meta("hosts", json.dumps(names))

    def host_names(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = json.loads(self.meta("hosts") or "{}")
        return found

    # -- decisions -------------------------------------------------------------

    def save_decision(self, decision: Decision) -> None:
        with self.transaction():
            self._db.execute(
                "INSERT INTO decisions VALUES(?,?,?,?,?) ON CONFLICT(number) DO UPDATE SET"
                " state=excluded.state, expires=excluded.expires, data=excluded.data",
                (decision.number, decision.id, decision.state, decision.expires,
                 values.dumps(decision)),
            )  # fmt: skip

    def decision(self, decision_id: str) -> Decision | None:
        found = self._decisions("id=?", (decision_id,))
        return found[0] if found else None

    def decisions(self, state: DecisionState | None = None) -> tuple[Decision, ...]:
        """All, or those in one state, oldest first."""
        return self._decisions("?1 IS NULL OR state=?1", (state,))

    def active_decisions(self, now: float) -> tuple[Decision, ...]:
        """What must be on the switches now."""
        return self._decisions("state='active' AND expires>?", (now,))

    def undone_decisions(self, now: float) -> tuple[Decision, ...]:
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

    def _decisions(self, where: str, parameters: tuple[object, ...]) -> tuple[Decision, ...]:
        rows = self._db.execute(
            f"SELECT data FROM decisions WHERE {where} ORDER BY number", parameters
        )
        return tuple(values.loads(Decision, data) for (data,) in rows)

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
        """Add connections; the end of a known one completes its row. Oldest rows give way."""
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
            (number, StoredFlow(FlowRecord(*fields), score))
            for number, score, *fields in reversed(rows)
        )

    def save_alert(self, stored: StoredAlert) -> None:
        with self.transaction():
            self._db.execute(
                "INSERT INTO alerts(ts, host, decision, data) VALUES(?,?,?,?)",
                (stored.alert.ts, stored.alert.host, stored.decision, values.dumps(stored)),
            )
            self._keep_newest("alerts", MAX_ALERTS)

    def alert_of(self, decision_id: str) -> StoredAlert | None:
        """The alert that led to a decision (later ones of the same host are not it)."""
        row = self._db.execute(
            "SELECT data FROM alerts WHERE decision=? ORDER BY row LIMIT 1", (decision_id,)
        ).fetchone()
        return None if row is None else values.loads(StoredAlert, row[0])

    def alerts(self, limit: int = 1000) -> tuple[StoredAlert, ...]:
        """The newest ``limit``, oldest first."""
        rows = self._db.execute(
            "SELECT data FROM alerts ORDER BY row DESC LIMIT ?", (limit,)
        ).fetchall()
        return tuple(values.loads(StoredAlert, data) for (data,) in reversed(rows))

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
                "DELETE FROM snapshots WHERE model=?1 AND row NOT IN"
                " (SELECT row FROM snapshots WHERE model=?1 ORDER BY row DESC LIMIT ?2)",
                (model, MAX_SNAPSHOTS),
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

    def save_case(self, case_id: str, data: str | None) -> None:
        """Keep an open case of the reward ledger (JSON), or with None forget it."""
        with self.transaction(durable=False):
            if data is None:
                self._db.execute("DELETE FROM cases WHERE id=?", (case_id,))
            else:
                self._db.execute("INSERT OR REPLACE INTO cases VALUES(?,?)", (case_id, data))

    def cases(self) -> tuple[str, ...]:
        return tuple(data for (data,) in self._db.execute("SELECT data FROM cases ORDER BY id"))

    # -- what was done ---------------------------------------------------------

    def audit_head(self) -> AuditHead:
        row = self._db.execute("SELECT seq, hash FROM audit_head").fetchone()
        return AuditHead() if row is None else AuditHead(*row)

    def put_audit(self, entry: AuditEntry) -> None:
        """Write the chain's next entry and its new head. `response.audit` makes entries."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO audit VALUES(?,?,?,?,?,?)",
                (entry.seq, entry.ts, entry.kind, entry.data, entry.prev, entry.hash),
            )
            self._db.execute(
                "INSERT OR REPLACE INTO audit_head VALUES(1,?,?)", (entry.seq, entry.hash)
            )

    def audit_entries(self, after: int = 0, kind: str | None = None) -> Iterator[AuditEntry]:
        rows = self._db.execute(
            "SELECT seq, ts, kind, data, prev, hash FROM audit"
            " WHERE seq>? AND (?2 IS NULL OR kind=?2) ORDER BY seq",
            (after, kind),
        )
        return (AuditEntry(*row) for row in rows)

    def _keep_newest(self, table: str, most: int) -> None:
        self._db.execute(
            f"DELETE FROM {table} WHERE row <= (SELECT max(row) FROM {table}) - ?", (most,)
        )


def _make_private(path: Path) -> None:
    """The directory and an empty database that only their owner may read."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise StoreError(f"{path.parent}: cannot be made: {problem.strerror}") from None


def _scripts(version: int) -> Iterator[str]:
    """What brings a file with this layout to the current one; 0 is an empty file."""
    if version == 0:
        yield schema.TABLES
    else:
        yield from (schema.UPGRADES[each] for each in range(version, schema.VERSION))


def _statements(script: str) -> Iterator[str]:
    """Split a script; ``executescript`` would end the transaction around it."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""

"""The tables of ``septum.db``, with the number of their layout."""

from __future__ import annotations

VERSION = 5

FLOW_COLUMNS = (
    "ts", "src_ip", "dst_ip", "proto", "src_port", "dst_port", "duration",
    "packets_out", "bytes_out", "packets_in", "bytes_in", "packets", "bytes",
    "state", "phase", "verdict", "intent", "switch", "in_port", "src_mac", "dst_mac",
    "decision", "feed", "exporter",
)  # fmt: skip
"""`topology.records.FlowRecord`, field by field (a test holds the two equal)."""

FLOW_KEY = ("ts", "src_ip", "dst_ip", "proto", "src_port", "dst_port")
"""What a connection's start and end have in common."""

_TEXT = {
    "src_ip", "dst_ip", "proto", "state", "phase", "verdict", "intent", "src_mac", "dst_mac",
    "decision", "feed", "exporter",
}  # fmt: skip
_REAL = {"ts", "duration"}


def _type_of(column: str) -> str:
    return "TEXT" if column in _TEXT else "REAL" if column in _REAL else "INTEGER"


_FLOW_FIELDS = ", ".join(f"{name} {_type_of(name)}" for name in FLOW_COLUMNS)

AUDIT_IS_NOT_CUT = """\
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END;
"""

TABLES = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE decisions(
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, state TEXT NOT NULL,
    expires REAL NOT NULL, data TEXT NOT NULL);
CREATE INDEX decisions_by_state ON decisions(state, expires);
CREATE TABLE bindings(
    mac TEXT, ip TEXT, switch INTEGER, port INTEGER, host TEXT);
CREATE TABLE links(switch INTEGER, port INTEGER, peer_switch INTEGER, peer_port INTEGER);
CREATE TABLE flows(row INTEGER PRIMARY KEY, {_FLOW_FIELDS}, score REAL,
    UNIQUE({", ".join(FLOW_KEY)}));
CREATE TABLE alerts(
    row INTEGER PRIMARY KEY, ts REAL NOT NULL, host TEXT NOT NULL, decision TEXT,
    data TEXT NOT NULL);
CREATE INDEX alerts_by_decision ON alerts(decision) WHERE decision IS NOT NULL;
CREATE TABLE snapshots(
    row INTEGER PRIMARY KEY, ts REAL NOT NULL, model TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE audit(
    seq INTEGER PRIMARY KEY, ts REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
    prev TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE audit_head(
    only INTEGER PRIMARY KEY CHECK(only = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END;
{AUDIT_IS_NOT_CUT}"""

CASES = """
CREATE TABLE cases(id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
"""

FEED_BLOCKS = """
DROP TABLE IF EXISTS feed_blocks;
CREATE TABLE feed_blocks(feed TEXT PRIMARY KEY, mode INTEGER NOT NULL, prefixes BLOB NOT NULL,
    narrow BLOB NOT NULL);
"""

DECIDERS = """
ALTER TABLE flows ADD COLUMN decision TEXT;
ALTER TABLE flows ADD COLUMN feed TEXT;
"""

EXPORTERS = """
ALTER TABLE flows ADD COLUMN exporter TEXT;
"""

UPGRADES = {1: CASES, 2: FEED_BLOCKS, 3: DECIDERS, 4: EXPORTERS}
"""What brings a file of an older layout to the next one. What feeds list is read again."""

TABLES += CASES + FEED_BLOCKS

_UPDATED = ", ".join(
    f"{name} = coalesce(excluded.{name}, {name})" for name in FLOW_COLUMNS if name not in FLOW_KEY
)

UPSERT_FLOW = f"""
INSERT INTO flows({", ".join(FLOW_COLUMNS)}, score)
VALUES({", ".join("?" for _ in FLOW_COLUMNS)}, ?)
ON CONFLICT({", ".join(FLOW_KEY)}) DO UPDATE SET {_UPDATED},
    score = max(coalesce(excluded.score, 0), coalesce(score, 0))
"""

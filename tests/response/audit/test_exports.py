"""Exports, held against the names and rules of the formats themselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response.audit.cef import Cef
from response.audit.chain import AuditEntry, AuditHead, next_entry
from response.audit.ocsf import Ocsf

ALERT = {
    "id": "al-1", "ts": 1000.5, "host": "10.0.0.1", "kind": "scan", "attack": "T1046",
    "score": 0.9995, "threshold": 0.99, "raw": 4.0, "features": [], "path": [], "records": [0],
    "model": "septum-ensemble 1",
}  # fmt: skip
EVIDENCE = [
    {"ts": 999.0, "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "proto": "tcp", "src_port": 4000,
     "dst_port": 22},
    {"ts": 999.1, "src_ip": "10.0.0.1", "dst_ip": "10.0.0.3", "proto": "icmp", "src_port": 8,
     "dst_port": 0},
]  # fmt: skip
STORY: list[tuple[str, dict[str, Any]]] = [
    ("started", {"adapt": True, "active": []}),
    ("alert", {"alert": ALERT, "decision": "d1", "outcome": "active", "reason": "within",
               "evidence": EVIDENCE}),
    ("decision", {"decision": "d1", "alert": "al-1", "state": "active", "action": "quarantine",
                  "addresses": ["10.0.0.1", "fd00::1"], "reason": "within", "by": "septum",
                  "target": "web1", "ttl": 900}),
    ("enforce", {"decision": "d1", "number": 1, "action": "quarantine",
                 "addresses": ["10.0.0.1", "fd00::1"], "expires": 1900.0}),
    ("confirmed", {"decision": "d1", "rules": [[1, 6, 0x0106000000000001]]}),
    ("released", {"decision": "d1", "by": "ana", "reason": "a = b | c\nd"}),
    ("withdraw", {"decision": "d1"}),
    ("removed", {"decision": "d1", "rules": [[1, 6, 0x0106000000000001]]}),
    ("spoof", {"packets": 7, "since": 990.0, "most": [
        {"switch": 1, "port": 3, "mac": "02:00:00:00:00:66", "ip": "fd00::7", "reason": "bound",
         "count": 7}]}),
    ("feed", {"feed": "drop", "what": "failed", "problem": "the server says 500"}),
    ("checkpoint", {"number": 1, "seq": 9}),
    ("alert", {"alert": {**ALERT, "host": "fd00::5", "attack": "T9999"}, "decision": None,
               "outcome": "alert", "reason": "protected"}),
]  # fmt: skip


def chain() -> list[AuditEntry]:
    head, entries = AuditHead(), []
    for number, (kind, data) in enumerate(STORY):
        entry = next_entry(head, 1000.25 + number, kind, data)
        entries.append(entry)
        head = AuditHead(entry.seq, entry.hash)
    return entries


# -- OCSF: attributes of the classes and objects that are used, as schema.ocsf.io/1.3.0 has them ---

OBJECTS: dict[str, set[str]] = {
    "metadata": {"version", "product", "uid", "sequence", "event_code", "log_name",
                 "correlation_uid", "profiles"},
    "product": {"name", "vendor_name", "version"},
    "finding_info": {"uid", "title", "desc", "types", "created_time", "attacks", "analytic"},
    "attacks": {"technique", "tactic", "version"},
    "technique": {"uid", "name"}, "tactic": {"uid", "name"},
    "analytic": {"type_id", "uid", "name", "version"},
    "evidences": {"src_endpoint", "dst_endpoint", "connection_info"},
    "src_endpoint": {"ip", "port", "mac", "name", "interface_uid"},
    "dst_endpoint": {"ip", "port", "mac", "name", "interface_uid"},
    "connection_info": {"direction_id", "protocol_name", "protocol_num"},
    "firewall_rule": {"uid", "name", "type"},
}  # fmt: skip
ALWAYS = {"activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata"}
MAY = {"activity_name", "message", "status_id", "unmapped", "count", "start_time"}
CLASSES: dict[int, tuple[set[str], set[str], set[int]]] = {
    0: (set(), set(), {0, 99}),
    2004: ({"finding_info"}, {"is_alert", "confidence_score", "evidences"}, {1, 2, 3}),
    4001: ({"dst_endpoint", "src_endpoint", "connection_info"},
           {"action_id", "disposition_id", "firewall_rule"}, {1, 2, 3, 4, 5, 6, 7}),
}  # fmt: skip
REQUIRED_IN = {"metadata": {"version", "product"}, "finding_info": {"uid"},
               "analytic": {"type_id"}, "connection_info": {"direction_id"},
               "product": {"vendor_name"}}  # fmt: skip


def check_object(name: str, value: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if name in OBJECTS:
            assert isinstance(item, dict), name
            assert set(item) <= OBJECTS[name], (name, set(item) - OBJECTS[name])
            assert REQUIRED_IN.get(name, set()) <= set(item), name
            for inner, part in item.items():
                check_object(inner, part)
        else:
            assert not isinstance(item, dict), name


def test_events_are_those_of_the_schema() -> None:
    make = Ocsf("0.1.0")
    for entry in chain():
        event = json.loads(make.line(entry))
        needs, more, activities = CLASSES[event["class_uid"]]
        assert ALWAYS | needs <= set(event) <= ALWAYS | needs | more | MAY, event
        assert event["activity_id"] in activities
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
        assert event["time"] == round(entry.ts * 1000)
        assert event["metadata"]["uid"] == entry.hash
        if "disposition_id" in event:
            assert event["metadata"]["profiles"] == ["security_control"]
        for name, value in event.items():
            if name != "unmapped":
                check_object(name, value)


def test_a_decision_is_one_finding_from_alert_to_release_and_rules_name_it() -> None:
    make = Ocsf("0.1.0")
    events = [make.event(entry) for entry in chain()]
    story = [e for e in events if e["metadata"].get("correlation_uid") == "d1"]
    assert [(e["class_uid"], e["activity_id"]) for e in story] == [
        (2004, 1), (2004, 2), (4001, 5), (4001, 5), (2004, 3), (4001, 6), (4001, 6),
    ]  # fmt: skip
    assert {e["finding_info"]["uid"] for e in story if "finding_info" in e} == {"al-1"}
    confirmed = story[3]
    assert (confirmed["action_id"], confirmed["disposition_id"], confirmed["status_id"]) == (
        2,
        3,
        1,
    )
    assert confirmed["firewall_rule"]["uid"] == "0x106000000000001"
    alert = events[1]
    assert alert["finding_info"]["attacks"][0]["tactic"]["uid"] == "TA0007"
    assert alert["evidences"][0]["dst_endpoint"] == {"ip": "10.0.0.2", "port": 22}
    assert "port" not in alert["evidences"][1]["dst_endpoint"], "ICMP has no ports"


# -- CEF ------------------------------------------------------------------------------------------

KEYS = {"rt", "externalId", "cat", "cs1Label", "cs1", "cs2Label", "cs2", "cs3Label", "cs3",
        "suser", "reason", "act", "src", "c6a2Label", "c6a2", "smac", "cnt", "outcome",
        "cfp1Label", "cfp1", "msg"}  # fmt: skip


UNESCAPED = {"n": "\n", "r": "\r", "=": "=", "\\": "\\"}


def parse(line: str) -> tuple[list[str], dict[str, str]]:
    """A reader of CEF as its users write it: bars and equals signs that are not escaped part."""
    assert "\n" not in line and "\r" not in line
    found_head = re.match(r"((?:(?:[^|\\]|\\.)*\|){7})", line)
    assert found_head is not None
    extension = line[found_head.end() :]
    parts = re.findall(r"((?:[^|\\]|\\.)*)\|", found_head[1])
    header = [re.sub(r"\\([\\|])", r"\1", part) for part in parts]
    found = {}
    starts = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", extension))
    for this, following in zip(starts, [*starts[1:], None], strict=True):
        raw = extension[this.end() : None if following is None else following.start()]
        found[this[1]] = re.sub(r"\\(.)", lambda escaped: UNESCAPED[escaped[1]], raw)
    return header, found


def test_cef_lines_can_be_read_back() -> None:
    make = Cef("0.1|0")
    for entry in chain():
        header, fields = parse(make.line(entry))
        assert header[:4] == ["CEF:0", "Septum", "Septum", "0.1|0"]
        assert header[4] == entry.kind and 0 <= int(header[6]) <= 10
        assert set(fields) <= KEYS
        assert fields["externalId"] == str(entry.seq)
        assert fields["cs2"] == entry.hash
        assert json.loads(fields["msg"]) == entry.values()
    released = parse(make.line(chain()[5]))[1]
    assert (released["reason"], released["suser"]) == ("a = b | c\nd", "ana")
    assert parse(make.line(chain()[3]))[1]["src"] == "10.0.0.1"
    assert parse(make.line(chain()[11]))[1]["c6a2"] == "fd00::5", "src holds IPv4 only"


@pytest.mark.parametrize("kind", ["hold", "ki|nd\\"])
@given(st.text(alphabet="ab=|\\ \n\r", max_size=12))
def test_no_text_breaks_out_of_its_field(kind: str, text: str) -> None:
    entry = next_entry(AuditHead(), 1.0, kind, {"by": text, "reason": "end"})
    header, fields = parse(Cef("1").line(entry))
    assert header[4] == kind
    # A value that holds ` x=` cannot be told from a new key by who splits at spaces and names;
    # escaped equals signs keep even that apart.
    assert fields["suser"] == text
    assert fields["reason"] == "end"

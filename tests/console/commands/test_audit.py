from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.cli import run
from console.views.audit_summary import summary
from detection.alert import Alert, Contribution, Hop
from response.audit.log import Audit, Kind
from response.decision import Decision, InstalledRule
from response.state.interfaces import StoredAlert, StoredFlow
from response.state.store import Store
from topology.records import FlowRecord

ALERT = Alert(
    "a1", 1000.0, "10.0.0.1", "lateral-path", "T1021", 0.9995, 0.99, 4.0,
    (Contribution("new_peers", 14.0, 0.0, 2.0, 3.0), Contribution("burst", 9.0, 0.0, 2.0, 1.0)),
    tuple(Hop(990.0 + n, "10.0.0.9", f"10.0.0.{n}", "tcp/22") for n in range(15)), (0, 1), "m/1",
)  # fmt: skip
DECISION = Decision(
    "d1", 1, 1001.0, "quarantine", "web1", ("10.0.0.1", "fd00::1"), "host", "active", 900, "a1",
    "lateral-path (T1021)", "900 s pass", "septum", (InstalledRule(2, 3, 0x4000000000000001),),
)  # fmt: skip


def flow(ts: float, src: str, dst: str, verdict: Any = "allow") -> FlowRecord:
    return FlowRecord(ts, src, dst, "tcp", 40000, 22, verdict=verdict, intent="ssh")


STORY: Sequence[tuple[float, Kind, dict[str, Any]]] = (
    (999.0, "started", {"adapt": True, "active": []}),
    (999.1, "policy", {"files": ["p.yaml"], "digest": "ab" * 32, "problem": None}),
    (999.2, "switch", {"switch": 2, "what": "reconciled", "detail": "0 missing"}),
    (1000.0, "alert", {"alert": msgspec.to_builtins(ALERT), "decision": "d1", "outcome": "active",
                       "reason": "within the envelope"}),
    (1001.0, "decision", {"decision": "d1", "state": "active", "action": "quarantine",
                          "target": "web1", "ttl": 900, "reason": "within the envelope"}),
    (1001.0, "enforce", {"decision": "d1", "number": 1, "action": "quarantine",
                         "addresses": ["10.0.0.1", "fd00::1"], "expires": 1901.0}),
    (1001.1, "confirmed", {"decision": "d1", "rules": [[2, 3, 0x4000000000000001]]}),
    (1100.0, "lost", {"records": 7, "since": 1090.0}),
    (1200.0, "spoof", {"packets": 9, "since": 1190.0, "most": [
        {"switch": 1, "port": 3, "mac": "00:00:00:00:00:66", "ip": "10.0.0.7",
         "reason": "bound elsewhere", "count": 9}]}),
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = Store.open(tmp_path, 1.0)
    store.save_decision(DECISION)
    store.save_alert(
        StoredAlert(ALERT, "active", "within the envelope", "d1", (flow(999.5, "10.0.0.1", "x"),))
    )
    store.save_host_names({"web1": ["10.0.0.1", "fd00::1"], "db1": ["10.0.0.6"]})
    store.append_flows([
        StoredFlow(flow(1.0, "10.0.0.1", "10.0.0.6"), 0.25),
        StoredFlow(flow(2.0, "fd00::1", "fd00::6", "deny"), 0.75),
        StoredFlow(flow(3.0, "10.0.0.9", "10.0.0.6", "would-deny")),
    ])  # fmt: skip
    for ts, kind, data in STORY:
        Audit(store).append(ts, kind, data)
    store.close()
    return tmp_path


class CommandResult:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def septum(state: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> CommandResult:
        code = run([*arguments, "--state", str(state)])
        return CommandResult(code, *capsys.readouterr())

    return call


def test_audit_list_tells_every_entry_in_a_line(septum: Any) -> None:
    lines = septum("audit", "list").out.splitlines()
    assert len(lines) == len(STORY)
    assert "1970-01-01 00:16:40.000  alert      d1: lateral-path by 10.0.0.1" in lines[3]
    assert "switch 2 table 3 cookie 0x4000000000000001" in lines[6]
    assert "9 packets; most: 00:00:00:00:00:66 10.0.0.7" in lines[8]
    assert len(septum("audit", "list", "--last", "2").out.splitlines()) == 2
    assert len(septum("audit", "list", "--decision", "d1").out.splitlines()) == 4
    (only,) = json.loads(septum("audit", "list", "--kind", "decision", "--json").out)
    assert (only["seq"], only["data"]["target"]) == (5, "web1")


def test_every_kind_of_entry_has_a_summary(state: Path) -> None:
    audit = Audit(Store.open(state, 1.0))
    more: list[tuple[Kind, dict[str, Any]]] = [
        ("approved", {"by": "ana"}),
        ("rejected", {"by": "ana"}),
        ("released", {"by": "ana", "reason": "released by ana"}),
        ("expired", {"was": "active"}),
        ("extended", {"addresses": ["10.0.0.77"]}),
        ("withdraw", {}),
        ("removed", {"rules": [[2, 3, 4]]}),
        ("hold", {"on": True, "by": "ana"}),
        ("feed", {"feed": "drop", "what": "failed", "problem": "the server says 500"}),
        ("feed", {"feed": "drop", "what": "aged out", "good_at": 1.0}),
        (
            "feed",
            {
                "feed": "drop",
                "what": "loaded",
                "mode": "audit",
                "in_force": 2,
                "entries": 3,
                "prefixes": 1,
                "refused": 1,
            },
        ),
    ]
    told = [summary(audit.append(1.0, kind, {"decision": "d1", **data})) for kind, data in more]
    assert told[0] == "d1: by ana"
    assert "10.0.0.77" in told[4]
    assert "stopped by ana" in told[7]
    assert told[8] == "d1: drop failed: the server says 500"
    assert "2 of 3 entries as 1 prefixes, 1 refused" in told[10]


def test_audit_verify_answers_with_its_exit_code(septum: Any, state: Path) -> None:
    good = septum("audit", "verify")
    assert (good.code, good.out[:16]) == (0, "whole: 9 entries")
    assert json.loads(septum("audit", "verify", "--json").out)["whole"] is True
    raw = sqlite3.connect(state / "septum.db")
    raw.execute("DROP TRIGGER audit_is_not_changed")
    raw.execute("UPDATE audit SET data=replace(data, 'web1', 'web2') WHERE seq=5")
    raw.commit()
    bad = septum("audit", "verify")
    assert bad.code == 1
    assert "entry 5 was edited" in bad.out
    assert json.loads(septum("audit", "verify", "--json").out)["whole"] is False


def test_audit_export_is_one_object_a_line(septum: Any, tmp_path: Path) -> None:
    lines = septum("audit", "export", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 10))
    target = tmp_path / "out.jsonl"
    septum("audit", "export", "--after", "7", "-o", str(target))
    assert target.read_text().splitlines() == lines[7:]


def test_decisions_are_listed(septum: Any) -> None:
    header, line = septum("decisions", "list").out.splitlines()
    assert header.split()[:4] == ["id", "state", "action", "target"]
    assert line.split()[:4] == ["d1", "active", "quarantine", "web1"]
    (row,) = json.loads(septum("decisions", "list", "--json").out)
    assert row["rules"] == [{"switch": 2, "table": 3, "cookie": 0x4000000000000001}]
    assert (row["scope"], row["expires"], row["by"]) == ("host", 1901.0, "septum")
    assert septum("decisions", "list", "--only", "expired").out == "no decisions\n"
    wrong = septum("decisions", "list", "--only", "gone")
    assert wrong.code == 2
    assert len(wrong.err.splitlines()) == 1


def test_show_tells_the_story_in_order(septum: Any) -> None:
    told = septum("decisions", "show", "d1").out
    parts = ["What was seen", "10.0.0.9 -> 10.0.0.0  tcp/22", "10.0.0.9 -> 10.0.0.14  tcp/22",
             "Why it is unusual",
             "new_peers", "together (raw score)", "4.000", "What was decided",
             "within the envelope",
             "cookie 0x4000000000000001", "What happened since", "confirmed",
             "What would release it", "900 s pass"]  # fmt: skip
    rest = told
    for part in parts:
        assert part in rest
        rest = rest.partition(part)[2]
    data = json.loads(septum("decisions", "show", "d1", "--json").out)
    parted = sum(part["contribution"] for part in data["alert"]["features"])
    assert parted == data["alert"]["raw"]
    assert [entry["kind"] for entry in data["history"]] == [
        "alert", "decision", "enforce", "confirmed"
    ]  # fmt: skip
    assert len(data["alert"]["path"]) == 15
    missing = septum("decisions", "show", "d7")
    assert (missing.code, len(missing.err.splitlines())) == (1, 1)


@pytest.mark.parametrize("verb", ["approve", "reject", "release"])
def test_a_persons_word_needs_a_running_controller(septum: Any, verb: str) -> None:
    answer = septum("decisions", verb, "d1")
    assert answer.code == 2
    assert "no controller runs" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_flows_are_found_by_name_address_and_verdict(septum: Any) -> None:
    everything = septum("flows").out.splitlines()
    assert len(everything) == 4
    assert "10.0.0.7 on switch 1 port 3" in everything[3]
    assert everything[3].endswith("9 packets    deny (spoof: bound elsewhere)")
    both = septum("flows", "--from", "web1").out.splitlines()
    assert len(both) == 2
    assert "web1 (10.0.0.1) -> db1 (10.0.0.6)" in both[0]
    assert len(septum("flows", "--from", "web1", "--to", "db1").out.splitlines()) == 1
    (row,) = json.loads(septum("flows", "--from", "FD00:0::1", "--json").out)
    assert (row["verdict"], row["score"], row["intent"]) == ("deny", 0.75, "ssh")
    assert row["decided_by"] == "intent"
    *_, spoof = json.loads(septum("flows", "--verdict", "deny", "--json").out)
    assert (spoof["decided_by"], spoof["reason"]) == ("spoof", "bound elsewhere")
    assert (spoof["switch"], spoof["in_port"], spoof["packets"]) == (1, 3, 9)
    assert septum("flows", "--from", "web1", "--last", "1").out.count("\n") == 1
    assert len(septum("flows", "--verdict", "would-deny").out.splitlines()) == 1
    for wrong in (("--from", "nobody"), ("--verdict", "maybe")):
        answer = septum("flows", *wrong)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)


def test_flows_are_counted_by_what_decided(septum: Any) -> None:
    counts = json.loads(septum("flows", "--count", "--json").out)
    assert [tuple(each.values()) for each in counts] == [
        ("allow", "intent ssh", 1, "connection"),
        ("deny", "spoof: bound elsewhere", 9, "packet"),
        ("deny", "intent ssh", 1, "connection"),
        ("would-deny", "intent ssh", 1, "connection"),
    ]
    assert "intent ssh" in septum("flows", "--count", "--verdict", "deny").out
    assert septum("flows", "--count", "--follow").code == 2


def test_a_directory_without_state_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["audit", "verify"], ["decisions", "list"], ["flows"]):
        assert run([*command, "--state", str(tmp_path / "none")]) == 2
        assert "no state here" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_counts_are_of_all_connections_and_lists_of_the_newest(septum: Any, state: Path) -> None:
    store = Store.open(state, 2.0)
    store.append_flows(StoredFlow(flow(10.0 + n, "10.0.0.1", "10.0.0.6")) for n in range(150))
    store.close()
    assert len(json.loads(septum("flows", "--json").out)) == 100
    counts = json.loads(septum("flows", "--count", "--verdict", "allow", "--json").out)
    assert [each["count"] for each in counts] == [151]

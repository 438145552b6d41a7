"""`septum decisions` on a state directory that a real analysis wrote, with nobody running on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.pipeline import Analysis
from console.cli import run
from detection.alert import Scored
from detection.detector import Detector
from policies.language.reader import load_policy
from response.audit.log import Audit
from response.ipc.messages import Ask, HostsChanged, RecordsSeen
from response.state.store import Store
from tests.support.street import make_alert
from topology.records import Binding, FlowRecord

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: small}
hosts:
  web1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {role: web}}
  web2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {role: web}}
  db1: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 1, port: 3, labels: {role: db}}
segments:
  web: {members: [{labels: {role: web}}], mode: enforce, adapt: auto}
  db: {members: [{labels: {role: db}}], mode: enforce, adapt: propose}
intents:
  - {name: web-db, from: web, to: db, services: [tcp/5432]}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [alert, rate_limit, quarantine], max_hosts: 2, max_share: 1.0, ttl: 15m}
"""


class SshDetector(Detector):
    """Alerts on whoever starts a connection to port 22."""

    def step(self, record: FlowRecord) -> Scored:
        scored = super().step(record)
        if record.dst_port != 22:
            return scored
        alert = make_alert(record.src_ip, record.ts, (scored.row,), id=f"a{scored.row}")
        score = 0.995 if record.dst_ip == "10.0.0.2" else 0.9999
        return scored._replace(alert=replace(alert, score=score))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(POLICY)
    policy = load_policy([tmp_path / "p.yaml"])
    store = Store.open(tmp_path, 1000.0)
    analysis = Analysis(policy, SshDetector(), store, Audit(store), 1000.0)
    for ts, src, dst in ((1001.0, 1, 2), (1002.0, 1, 3), (1003.0, 3, 1)):
        record = FlowRecord(ts, f"10.0.0.{src}", f"10.0.0.{dst}", "tcp", 4, 22, phase="start")
        analysis.step(RecordsSeen((record,)), ts)
    analysis.ask(Ask("approve", "d3", "ana"), 1004.0)
    store.close()
    return tmp_path


@pytest.fixture
def septum(state: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--state", str(state)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_show_tells_who_approved_what_was_left_out_and_what_took_its_place(septum: Any) -> None:
    code, told, _ = septum("decisions", "show", "d2")
    assert code == 0
    order = ["What was seen", "Why it is unusual", "What was decided", "Rules that switches",
             "What happened since", "What would release it"]  # fmt: skip
    places = [told.index(part) for part in order]
    assert places == sorted(places)
    assert "chosen: quarantine; the fixed table says quarantine" in told
    assert "the envelope: isolate left out: isolate is not among the policy's" in told
    assert "approved by the policy (adapt: auto)" in told
    assert "takes the place of d1" in told
    assert "d2 took its place" in septum("decisions", "show", "d1")[1]
    assert "approved by ana" in septum("decisions", "show", "d3")[1]
    data = json.loads(septum("decisions", "show", "d3", "--json")[1])
    assert data["approved_by"] == "ana"
    assert {option["action"] for option in data["left_out"]} == {
        "rate_limit", "isolate", "quarantine",
    }  # fmt: skip
    assert data["choice"]["table"] == "quarantine"
    assert [entry["kind"] for entry in data["history"]][:2] == ["alert", "decision"]
    assert data["decision"]["state"] == "active"


@pytest.mark.threat("host-is-its-port")
def test_show_and_the_audit_say_which_port_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text(
        POLICY.replace("{role: web}}]", "{role: web}}, {cidr: 10.0.9.0/24}]")
    )
    store = Store.open(tmp_path, 1000.0)
    policy = load_policy([tmp_path / "p.yaml"])
    analysis = Analysis(policy, SshDetector(), store, Audit(store), 1000.0)
    analysis.step(HostsChanged((Binding("02:00:00:00:00:99", "10.0.9.9", 1, 7),)), 1000.0)
    record = FlowRecord(1001.0, "10.0.9.9", "10.0.0.3", "tcp", 4, 22, phase="start")
    analysis.step(RecordsSeen((record,)), 1001.0)
    store.close()
    assert run(["decisions", "show", "d1", "--state", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "and all that is or comes on the port where it was found: port 7 of switch 1" in told
    assert run(["audit", "list", "--state", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.count("all of port 7 of switch 1") == 2, "the decision, and what was asked for"


def test_hold_works_with_nobody_running_and_is_said_everywhere(septum: Any) -> None:
    code, said, _ = septum("decisions", "hold")
    assert (code, said) == (0, "automatic action is on hold\n")
    assert "already" in septum("decisions", "hold", "on")[1]
    assert septum("decisions", "list")[1].startswith("automatic action is on hold by ")
    _, listed, told = septum("decisions", "list", "--json")
    assert len(json.loads(listed)) == 3
    assert "on hold" in told
    assert "Automatic action is on hold by" in septum("decisions", "show", "d1")[1]
    assert json.loads(septum("decisions", "show", "d1", "--json")[1])["hold"]
    assert "automatic action stopped by" in septum("audit", "list")[1]
    assert json.loads(septum("decisions", "hold", "off", "--json")[1])["ok"]
    assert "hold" not in septum("decisions", "list")[1].splitlines()[0]
    assert septum("decisions", "resume")[0] == 0
    assert septum("audit", "verify")[0] == 0
    assert septum("decisions", "hold", "maybe")[0] == 2


def test_extend_says_what_is_wrong_before_it_asks_anybody(septum: Any) -> None:
    for wrong in ("soon", "0s", "19h", "-5m"):
        code, _, told = septum("decisions", "extend", "d2", f"--for={wrong}")
        assert code == 2
        assert f"--for {wrong}" in told
    code, _, told = septum("decisions", "extend", "d2", "--for", "2h")
    assert code == 2
    assert "no controller runs" in told


def test_rewards_are_told_in_the_audit(septum: Any) -> None:
    listed = septum("audit", "list", "--decision", "d1")[1]
    assert "rate_limit (the table says rate_limit) earned" in listed
    assert "host pairs left" in listed

"""The analysis as its controller sees it: a process at the other end of a socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.collector.flow_collector import FlowCollector
from analysis.collector.process import CollectorProcess, listening
from console.cli import run
from console.clients.analysis_socket import ask_analysis
from console.errors import CommandError
from response.audit.log import Audit
from response.decision import InstalledRule
from response.ipc.messages import (
    Ask,
    Enforce,
    PolicyApplied,
    Ready,
    RecordsSeen,
    Release,
    RulesConfirmed,
)
from response.state.store import Store
from tests.support.controller_end import (
    HOST,
    POLICY,
    RUN,
    ControllerEnd,
    a_quiet_day_and_a_sweep,
)
from tests.support.flow_export_packets import BOOTED, Direction, ipfix

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY % "\n".join(HOST.format(n=n) for n in range(1, 41)))
    return path


@pytest.fixture
def controller(tmp_path: Path, policy: Path) -> Iterator[ControllerEnd]:
    made = ControllerEnd(tmp_path / "state", policy)
    yield made
    made.link.close()
    made.process.kill()
    made.process.wait()


def test_from_a_sweep_to_a_decision_a_release_and_a_restart(
    controller: ControllerEnd, policy: Path
) -> None:
    ready = controller.hear()
    assert isinstance(ready, Ready)
    assert (ready.model, ready.active) == ("fresh", 0)
    controller.tell(RecordsSeen(a_quiet_day_and_a_sweep(time.time())))
    enforce = controller.hear()
    assert isinstance(enforce, Enforce)
    made = enforce.decision
    assert (made.target, made.action, made.state) == ("h7", "quarantine", "active")
    assert made.addresses == ("10.0.0.7", "fe80::200:ff:fe00:7")
    state = controller.state
    assert (state / "analysis.sock").stat().st_mode & 0o777 == 0o600
    rule = InstalledRule(1, 3, made.number)
    controller.tell(RulesConfirmed(time.time(), made.id, (rule,)))

    assert controller.end() == 0
    again = ControllerEnd(state, policy)
    try:
        ready = again.hear()
        assert isinstance(ready, Ready)
        assert (ready.model, ready.active) == ("restored", 1)
        refused = ask_analysis(state, Ask("release", "d99", "ana"))
        assert (refused.ok, refused.text) == (False, "d99: no such decision")
        answer = ask_analysis(state, Ask("release", made.id, "ana", "a scheduled scan"))
        assert answer.ok
        assert isinstance(again.hear(), Enforce), "what holds is said again to whoever starts"
        release = again.hear()
        assert isinstance(release, Release)
        assert release.decision.rules == (rule,)
    finally:
        assert again.end() == 0
    store = Store.open(state, 0.0)
    kinds = [entry.kind for entry in Audit(store).entries(decision=made.id)]
    assert kinds[:4] == ["alert", "decision", "enforce", "confirmed"]
    assert kinds[-3:] == ["released", "withdraw", "reward"]
    assert Audit(store).verify().whole
    assert len(store.flows()) == 533


def test_it_follows_the_policy_that_the_controller_applied(
    controller: ControllerEnd, policy: Path, tmp_path: Path
) -> None:
    controller.hear()
    controller.tell(PolicyApplied(time.time(), (str(policy),), "one"))
    controller.tell(RecordsSeen(a_quiet_day_and_a_sweep(time.time())))
    assert isinstance(controller.hear(), Enforce)
    policy.write_text(policy.read_text().replace("quarantine", "rate_limit"))
    controller.tell(PolicyApplied(time.time(), (str(policy),), "one"))
    controller.tell(PolicyApplied(time.time(), (str(tmp_path / "none.yaml"),), "two"))
    controller.tell(PolicyApplied(time.time(), (str(policy),), "three"))
    release = controller.hear()
    assert isinstance(release, Release)
    assert "policy changed" in release.reason
    assert controller.end() == 0
    assert controller.process.stderr is not None
    (said,) = controller.process.stderr.read().splitlines()
    assert "none.yaml" in said


def test_what_it_learns_is_kept_while_it_goes_on(tmp_path: Path, policy: Path) -> None:
    often = "import analysis.models.snapshots as a; a.EVERY = 0.3; " + RUN
    controller = ControllerEnd(tmp_path / "state", policy, often)
    try:
        controller.hear()
        store = Store.open(controller.state, 0.0)
        seen: set[float] = set()
        until = time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < until:
            kept = store.latest_snapshot("detector")
            seen |= {kept[0]} if kept else set()
            assert not ask_analysis(controller.state, Ask("release", "d1", "ana")).ok
        assert len(seen) == 2
    finally:
        assert controller.end() == 0


def test_bytes_that_are_no_message_end_it_in_one_line(controller: ControllerEnd) -> None:
    controller.hear()
    controller.link.sendall(b"\xff" * 64)
    assert controller.process.wait(20) == 2
    assert controller.process.stderr is not None
    (said,) = controller.process.stderr.read().splitlines()
    assert "a frame of 4294967295 bytes" in said


def test_it_ignores_ctrl_c_and_obeys_sigterm(controller: ControllerEnd) -> None:
    controller.hear()
    controller.process.send_signal(signal.SIGINT)
    assert not ask_analysis(controller.state, Ask("release", "d1", "ana")).ok
    controller.process.send_signal(signal.SIGTERM)
    assert controller.process.wait(20) == 0


def test_a_broken_policy_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: [")
    made = ControllerEnd(tmp_path / "state", bad)
    assert made.process.wait(20) == 2
    assert made.process.stderr is not None
    (said,) = made.process.stderr.read().splitlines()
    assert said.startswith("septum analysis: cannot start:")
    assert "bad.yaml" in said


def test_nobody_to_ask_is_one_line_also_in_a_deep_directory(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-of-a-directory"] * 6)
    os.makedirs(deep)
    with pytest.raises(CommandError, match="no controller runs"):
        ask_analysis(deep, Ask("release", "d1", "ana"))
    with pytest.raises(CommandError, match="no controller runs"):
        ask_analysis(tmp_path / "missing", Ask("release", "d1", "ana"))


def test_the_model_is_rolled_back_by_command_while_it_runs(
    controller: ControllerEnd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(controller.hear(), Ready)
    state = str(controller.state)

    def septum(*arguments: str) -> tuple[int, str]:
        code = run(["models", *arguments, "--state", state])
        done = capsys.readouterr()
        return code, done.out + done.err

    quiet = a_quiet_day_and_a_sweep(time.time())[:500]
    controller.tell(RecordsSeen(quiet))
    assert septum("list") == (0, "no snapshots yet; the analysis keeps one every five minutes\n")
    code, said = septum("snapshot", "--note", "quiet")
    assert code == 0
    name = said.partition(":")[0]
    controller.tell(RecordsSeen(quiet))
    assert json.loads(septum("health", "--json")[1])["records"] == 1000
    code, said = septum("rollback", name)
    assert (code, said) == (0, f"goes on from {name}; m{int(name[1:]) + 1} leads back\n")
    found = json.loads(septum("health", "--json")[1])
    assert found["windows"] <= 500 and found["challenger"] is None
    assert septum("report")[0] == 1
    assert septum("rollback", "m99")[0] == 1
    assert septum("challenge", "--alert-budget", "1")[0] == 0
    assert "alert budget 1" in septum("report")[1]
    assert septum("dismiss")[0] == 0
    assert septum("accept")[0] == 0
    code, said = septum("list", "--json")
    assert [each["kept"] for each in json.loads(said)] == ["asked for", "before a change", "newest"]
    assert "maturity" in septum("health")[1] or "mature" in septum("health")[1]
    with_store = Store.open(controller.state, time.time())
    kinds = [entry.values()["what"] for entry in Audit(with_store).entries(kind="model")]
    with_store.close()
    assert kinds == ["snapshot", "rollback", "challenge", "dismiss", "accept"]


@pytest.mark.threat("claimed-names")
def test_the_audit_records_who_the_kernel_says_asked(controller: ControllerEnd) -> None:
    controller.hear()
    assert ask_analysis(controller.state, Ask("hold", "", "somebody else")).ok
    assert controller.end() == 0
    store = Store.open(controller.state, 0.0)
    (held,) = (entry.values() for entry in Audit(store).entries() if entry.kind == "hold")
    assert (held["by"], held["uid"]) == ("somebody else", os.getuid())
    assert held["login_uid"] is None or isinstance(held["login_uid"], int)


@pytest.mark.threat("claimed-names")
@pytest.mark.parametrize(
    ("by", "note"),
    [("ana\x1b[2J", ""), ("", ""), ("a" * 129, ""), ("ana", "fine\nno"), ("ana\u202e", "")],
)
def test_a_name_that_would_deceive_a_reader_is_refused(
    controller: ControllerEnd, by: str, note: str
) -> None:
    controller.hear()
    answer = ask_analysis(controller.state, Ask("hold", "", by, note))
    assert not answer.ok and "printable" in answer.text
    assert controller.end() == 0
    store = Store.open(controller.state, 0.0)
    assert not [entry for entry in Audit(store).entries() if entry.kind == "hold"]


def test_what_an_exporter_alone_says_is_proposed(controller: ControllerEnd) -> None:
    """From datagrams over a real socket to a proposal, and to the counts in the store."""
    controller.hear()
    controller.tell(RecordsSeen(a_quiet_day_and_a_sweep(time.time())[:500]))
    listener = listening("127.0.0.1", 0)
    stopped = threading.Event()
    process = CollectorProcess(FlowCollector(), listener, controller.state, lambda line: None)
    thread = threading.Thread(target=process.serve, args=(stopped.is_set,))
    try:
        begun = time.time() - BOOTED - 20
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
            for number in range(8, 41):
                at = begun + number * 0.2
                row = Direction(
                    "10.0.0.7", f"10.0.0.{number}", dport=22, flags=2, begun=at, ended=at
                )
                exporter.sendto(ipfix([row], number - 8), listener.getsockname())
            exporter.sendto(b"nonsense", listener.getsockname())
        thread.start()  # all of it waits in the socket: the first counts written are whole
        store = Store.open(controller.state, 0.0)
        until = time.monotonic() + 30
        while not store.decisions("proposed") and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        stopped.set()
        thread.join(10)
        listener.close()
    (proposal,) = store.decisions("proposed")
    assert proposal.target == "h7"
    alert = store.alert_of(proposal.id)
    assert alert is not None and "rests on flow exports of 127.0.0.1" in alert.reason
    assert controller.end() == 0
    counts = json.loads(store.meta("exporters") or "{}")["exporters"][0]
    assert (counts["address"], counts["rows"], counts["bad"]) == ("127.0.0.1", 33, 1)
    assert {flow.record.exporter for _, flow in store.flows(limit=40)} == {None, "127.0.0.1"}

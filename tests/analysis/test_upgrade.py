"""An installation goes on: a state directory written by commit f845f5a, opened by today's code.

Its contents are listed in tests/fixtures/state-f845f5a/README.md.
"""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from analysis.composition import Composed, compose
from console.cli import run
from policies.semantics.prefix_sets import Span, network_of
from response.ipc.framing import Decoder, encode
from response.ipc.messages import Ask, Enforce, Ready, RecordsSeen, Release
from response.state.policy_versions import Versions, at_start
from response.state.store import Store
from topology.records import Binding, FlowRecord, Link

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "tests" / "fixtures" / "state-f845f5a" / "state.tar.xz"
LATER = 1796086700.0
"""Less than a minute after the old version wrote its last entry, in seconds since the epoch."""

HEAD = "1c697913d2de9677f3b6f6d49ddae8034235becbc3d502dcd5d63e40bdaedeb6"
SIGNED_BY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
EXPORTED = "4ccb5639d28e268b69598ea285f7fa1e5275d0a5dca4381b82eaf55b675efacf"
"""SHA-256 of what f845f5a's own `septum audit export` wrote."""

FRESH = (
    "the detector starts to learn anew: its snapshot is of another version of Septum; "
    "actions are chosen by the fixed table again: their snapshot is of another version of Septum"
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with tarfile.open(WRITTEN) as archive:
        archive.extractall(tmp_path)  # ours; Python 3.11.2 has no ``filter`` yet
    return tmp_path / "state"


@pytest.fixture
def septum(state: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> str:
        assert run([*arguments, "--state", str(state)]) == 0
        return capsys.readouterr().out

    return call


def opened(state: Path, now: float = LATER) -> Composed:
    return compose(state, ["/nowhere/policy.yaml"], True, 0, now, bytes)


def test_every_decision_is_there_with_its_story(septum: Any) -> None:
    found = {each["id"]: each for each in json.loads(septum("decisions", "list", "--json"))}
    assert {name: (each["state"], each["action"], each["target"]) for name, each in found.items()} \
        == {
            "d1": ("released", "quarantine", "web1"),
            "d2": ("expired", "isolate", "web2"),
            "d3": ("rejected", "isolate", "db1"),
            "d4": ("proposed", "isolate", "db2"),
            "d5": ("active", "isolate", "web3"),
        }  # fmt: skip
    assert found["d5"]["expires"] == 1796090245.0
    told = septum("decisions", "show", "d1")
    for part in ("new_peers", "the fixed table says quarantine", "10.0.0.4", "released by ana"):
        assert part in told
    story = json.loads(septum("decisions", "show", "d5", "--json"))
    kinds = ["alert", "decision", "enforce", "confirmed", "extended", "enforce"]
    assert [entry["kind"] for entry in story["history"]] == kinds


def test_the_audit_is_the_same_to_the_byte(septum: Any) -> None:
    told = septum("audit", "verify")
    assert f"38 entries, head {HEAD}" in told
    assert f"up to entry 37 by {SIGNED_BY}" in told
    exported = septum("audit", "export", "--format", "jsonl")
    assert hashlib.sha256(exported.encode()).hexdigest() == EXPORTED
    assert "d1: quarantine (the table says quarantine) earned +0.300" in septum("audit", "list")


def test_what_was_seen_is_there(septum: Any, state: Path) -> None:
    assert len(json.loads(septum("flows", "--json", "--last", "1000"))) == 325
    store = Store.open(state, LATER)
    bindings = store.bindings()
    assert len(bindings) == 7
    assert bindings[2] == Binding("02:00:00:00:00:03", "10.0.0.3", 2, 3, "web3")
    assert store.links() == (Link(1, 40, 2, 41), Link(2, 41, 1, 40))
    assert store.host_names()["db1"][0] == "10.0.0.5"
    assert [each.outcome for each in store.alerts()] == ["active"] * 2 + ["proposed"] * 2 + [
        "active"
    ]
    assert len(store.pending_rewards()) == 2


def test_policy_versions_and_the_one_on_probation(septum: Any, state: Path) -> None:
    found = json.loads(septum("policy", "versions", "--json"))
    assert [(each["version"], each["by"], each["note"]) for each in found] == [
        (1, "root", "given at the start"), (2, "ana", "https too"), (3, "ben", "moved"),
    ]  # fmt: skip
    versions = Versions(state)
    standing = versions.standing()
    assert (standing.in_force, standing.previous) == (3, 2), "the target of a rollback"
    assert standing.pending is not None and standing.pending.deadline == 1796087255.0
    for number in (1, 2, 3):
        policy = versions.version(number).policy()
        assert [intent.name for intent in policy.intents] == ["web-db", "web-web"]


def test_a_controller_that_starts_with_another_policy_adds_a_version(
    state: Path, tmp_path: Path
) -> None:
    versions = Versions(state)
    given = tmp_path / "policy.yaml"
    given.write_text(next(iter(versions.version(2).texts.values())))
    started = at_start(versions, [str(given)], "root", LATER)
    assert started.number == 4
    assert versions.standing().history == (1, 2, 3, 4)


def test_the_feed_is_listed_as_before(septum: Any, state: Path) -> None:
    (feed,) = json.loads(septum("feeds", "list", "--json"))
    assert (feed["name"], feed["in_force"], feed["refused_count"]) == ("drop", 2, 1)
    (block,) = Store.open(state, LATER).feed_blocks()
    assert [str(network_of(Span(*prefix))) for prefix in block.block.prefixes] == [
        "198.51.100.0/24", "203.0.113.5/32",
    ]  # fmt: skip


def test_models_are_listed(septum: Any) -> None:
    found = json.loads(septum("models", "list", "--json"))
    assert [(each["id"], each["kept"]) for each in found] == [
        ("m2", "asked for"), ("m5", "newest"), ("m6", "hourly"), ("m7", "daily"),
    ]  # fmt: skip


def test_decisions_hold_and_learning_starts_fresh_and_says_so_once(
    state: Path, septum: Any
) -> None:
    composed = opened(state)
    assert (composed.model, composed.problem, composed.version) == ("fresh", FRESH, 3)
    commands = composed.analysis.start(LATER)
    assert [each.decision.id for each in commands if isinstance(each, Enforce)] == ["d5"]
    assert {each.decision.id for each in commands if isinstance(each, Release)} == {"d1", "d2"}

    health = json.loads(composed.analysis.ask(Ask("model-health", "", "ana"), LATER).text)
    assert (health["not_restored"], health["records"]) == (FRESH, 0)
    back = composed.analysis.ask(Ask("model-rollback", "m2", "ana"), LATER)
    assert (back.ok, back.text) == (False, "m2: its snapshot is of another version of Septum")

    record = FlowRecord(LATER, "10.0.0.1", "10.0.0.5", "tcp", 4, 5432, phase="start")
    composed.analysis.step(RecordsSeen((record,)), LATER)
    composed.analysis.finish(LATER + 1)
    composed.audit.seal(LATER + 1, ending=True)
    composed.store.close()
    assert f"signed up to entry 40 by {SIGNED_BY}" in septum("audit", "verify")
    assert FRESH in septum("audit", "list")

    again = opened(state, LATER + 2)
    assert (again.model, again.problem) == ("restored", None)


@pytest.mark.thorough
def test_the_process_starts_on_it_and_says_one_line(state: Path, septum: Any) -> None:
    link, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "analysis.process", "--socket-fd", str(theirs.fileno()),
             "--state", str(state), "--policy", "/nowhere/policy.yaml"],
            cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    with link:
        link.settimeout(30)
        decoder = Decoder()
        ready = next(iter(decoder.feed(link.recv(65_536))))
        assert isinstance(ready, Ready) and ready.model == "fresh"
        link.sendall(encode(RecordsSeen(())))
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert [line for line in log.splitlines() if "anew" in line] == [f"septum analysis: {FRESH}"]
    assert "Traceback" not in log
    assert "whole: " in septum("audit", "verify")

"""Policies applied to running switches on probation: they go back when nobody confirms them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.lab.controller import ROOT, Controller
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.waiting import within
from mininet_tests.live.conftest import MakeController, MakeLab
from topology.records import Link

LINKS = (Link(1, 9, 2, 9),)
CLOSED = POLICY.replace("tcp/7000", "tcp/7999")


def proof(running: Controller, version: int) -> dict[str, Any] | None:
    """What status says of the proof, once it is about a version and nothing is under way."""
    told: dict[str, Any] = json.loads(septum(running, "status", "--json").stdout)["proof"]
    done = told["proven"] is not None and told["proven"]["version"] == version
    return told if done and told["asked_at"] is None else None


def septum(running: Controller, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *words, "--state", str(running.options.state)],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=False,
    )  # fmt: skip


def opens(lab: Lab) -> bool:
    done = lab.host("a1").run([sys.executable, TALK, "knock", "10.0.0.3", "7000", "0.05"], 10)
    return '"opened": 1' in done.stdout


@pytest.mark.timeout(120)
def test_what_nobody_confirms_goes_back_also_over_sigkill(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    network = lab(POLICY, links=LINKS)
    running = controller(network)
    network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", "7000"])
    assert within(10, lambda: opens(network))
    assert within(30, lambda: proof(running, 1) is not None)
    closed = tmp_path / "closed.yaml"
    closed.write_text(CLOSED)

    # Staged, nothing changes; applied, it holds; not confirmed, it goes back by itself.
    staged = septum(running, "policy", "stage", str(closed), "--json")
    assert staged.returncode == 0, staged.stderr
    reach = json.loads(staged.stdout)["reach"]
    assert reach["changed"] > 0 == reach["opened"], "the same pairs, by another service"
    assert opens(network)
    applied = septum(running, "policy", "apply", "--confirm-within", "4s")
    assert applied.returncode == 0, applied.stderr
    assert "confirm" in applied.stdout
    assert not opens(network)
    assert within(10, lambda: opens(network)), "back to the policy before"

    # Confirmed, it stays; then back by hand.
    assert septum(running, "policy", "apply", str(closed), "--confirm-within", "3s").returncode == 0
    assert septum(running, "policy", "confirm").returncode == 0
    time.sleep(4)
    assert not opens(network)
    assert within(30, lambda: proof(running, 3) is not None)
    before = proof(running, 3)
    assert before is not None
    assert before["proven"]["holds"] and before["proven"]["switches"] == [1, 2]
    proven = septum(running, "switches", "--prove")
    assert proven.returncode == 0 and "proven in" in proven.stdout, proven.stdout + proven.stderr
    os.kill(before["pid"], signal.SIGKILL)  # the next proof starts another prover
    assert septum(running, "policy", "rollback").returncode == 0
    assert opens(network)
    assert within(30, lambda: proof(running, 1) is not None)
    after = proof(running, 1)
    assert after is not None
    assert after["proven"]["holds"] and after["pid"] != before["pid"]

    # Killed in between, and started again after the time: back before anything else is done.
    assert septum(running, "policy", "apply", str(closed), "--confirm-within", "3s").returncode == 0
    assert not opens(network)
    running.kill()
    assert not opens(network), "switches go on enforcing what they have"
    time.sleep(3)
    running.start()
    running.wait_ready()
    assert opens(network)

    listed = json.loads(septum(running, "policy", "versions", "--json").stdout)
    assert [each["standing"] for each in listed] == ["in force", None, None, None]
    assert listed[1]["by"] and "host pairs can talk" in listed[1]["reach_in_words"]
    running.stop()  # what was done is in the audit, each once
    told = json.loads(septum(running, "audit", "list", "--kind", "rollout", "--json").stdout)
    realised = [each["data"] for each in told if "switches" in each["data"]]
    assert [each["version"] for each in realised] == [2, 1, 3, 1, 4]
    assert all(each["switches"] == [1, 2] for each in realised)
    assert [each["data"]["what"] for each in told if "switches" not in each["data"]] == [
        "started with", "staged", "applied", "reverted", "applied", "confirmed", "rolled back",
        "applied", "reverted",
    ]  # fmt: skip
    verified = septum(running, "audit", "verify")
    assert verified.returncode == 0, verified.stdout
    assert "signed up to entry" in verified.stdout

"""The main job, started as a user starts it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mininet_tests.controller import ROOT
from mininet_tests.lab import vsctl
from mininet_tests.leftovers import tag_of

DEMO = [sys.executable, "-m", "console", "demo"]


def play(*options: str, timeout: float = 110) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [*DEMO, "--json", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=timeout,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(120)
def test_the_attack_is_contained_and_nobody_else_is_harmed(tmp_path: Path) -> None:
    code, result = play("--keep-state", str(tmp_path / "state"))
    assert result["problems"] == []
    assert code == 0
    assert result["decision"]["target"] == "web1"
    assert result["first_hostile"] < result["decision"]["ts"] <= result["rule_confirmed"]
    assert result["seconds_to_rule"] <= 2
    assert len(result["hosts_reached"]) <= 3
    assert result["attack"]["pivots"] == []
    alert = result["alert"]
    total = sum(part["contribution"] for part in alert["features"])
    assert total == pytest.approx(alert["raw"], abs=1e-9)
    phases = {phase["phase"]: phase for phase in result["benign"]}
    assert all(phases[name]["requests"] > 0 for name in ("before", "during", "after"))
    assert all(phase["failed"] == 0 for phase in phases.values())
    argv = [sys.executable, "-m", "console", "audit", "verify", "--state", str(tmp_path / "state")]
    assert subprocess.run(argv, cwd=ROOT, timeout=30, check=False).returncode == 0


@pytest.mark.timeout(120)
def test_the_policy_alone_does_not_stop_it() -> None:
    code, result = play("--no-adapt")
    assert code == 1
    assert result["attack"]["pivots"]
    assert any("orders.csv" in secret for secret in result["attack"]["loot"])
    assert {"app1", "db1"} & set(result["hosts_reached"])
    assert [d for d in result["decisions"] if d["state"] == "active"] == []
    assert sum(phase["failed"] for phase in result["benign"]) == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_benign_day_is_left_alone(seed: int) -> None:
    code, result = play("--benign-only", "--seed", str(seed))
    assert result["problems"] == []
    assert result["decisions"] == []
    assert code == 0


@pytest.mark.timeout(60)
def test_ctrl_c_takes_everything_down() -> None:
    running = subprocess.Popen(DEMO, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert running.stderr is not None
    for line in running.stderr:
        if "benign day" in line:
            break
    mine = {tag for name in vsctl("list-br").split() if (tag := tag_of(name))}
    assert mine
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    left = {tag for name in vsctl("list-br").split() if (tag := tag_of(name))}
    assert left & mine == set()


def test_a_port_in_use_is_one_line_and_exit_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*DEMO, "--of-port", port],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=30,
            check=False,
        )
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

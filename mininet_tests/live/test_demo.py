"""The main job, started as a user starts it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mininet_tests.lab.controller import ROOT
from mininet_tests.lab.leftovers import remove_leftovers, run_directory, tag_of
from mininet_tests.lab.machine import vsctl

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


def running_demo() -> tuple[subprocess.Popen[str], str]:
    """A demo in the middle of its benign day, and the tag of its network."""
    running = subprocess.Popen(DEMO, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert running.stderr is not None
    for line in running.stderr:
        if "benign day" in line:
            break
    argv = ["ps", "-o", "args=", "--ppid", str(running.pid)]
    children = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r"septum-lab-spt([0-9a-z]{4})", children)
    assert found is not None, children
    return running, found[1]


def bridges_of(tag: str) -> list[str]:
    return [name for name in vsctl("list-br").split() if tag_of(name) == tag]


@pytest.mark.timeout(60)
def test_ctrl_c_takes_everything_down() -> None:
    running, tag = running_demo()
    assert len(bridges_of(tag)) == 3
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    assert bridges_of(tag) == []
    assert processes_about(tag) == []
    assert not run_directory(tag).exists()


@pytest.mark.timeout(60)
def test_a_killed_demo_leaves_no_process_and_the_next_lab_removes_its_network() -> None:
    running, tag = running_demo()
    running.kill()
    running.wait(10)
    deadline = time.monotonic() + 15
    while processes_about(tag) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_about(tag) == []
    assert bridges_of(tag)
    remove_leftovers()
    assert bridges_of(tag) == []


def processes_about(tag: str) -> list[str]:
    """Command lines of running programs that mention this lab's directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [text] if run_directory(tag).name in text else []
    return found


def refused(prefix: Sequence[str] = (), options: Sequence[str] = (), **changes: str) -> str:
    """The one line with which a demo that cannot start ends."""
    done = subprocess.run(
        [*prefix, *DEMO, *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ, **changes),
        timeout=30,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert "Traceback" not in done.stderr
    return line


def test_a_port_in_use_is_one_line_and_exit_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refused(options=["--of-port", port])


def test_what_is_missing_is_named() -> None:
    assert "curl" in refused(PATH="/nonexistent")
    assert "Open vSwitch does not answer" in refused(OVS_RUNDIR="/nonexistent")


def test_without_root_it_says_so() -> None:
    # The checkout may lie where other users cannot read, so only the answer to "who am I" changes.
    script = "import os; os.geteuid = lambda: 1000; from console.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "demo"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "needs root" in done.stderr
    assert "Traceback" not in done.stderr

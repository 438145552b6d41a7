"""Open vSwitch is started when it is not running, and stopped only by whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "with_ovs.py"

# Stands in for ovs-ctl: "running" is a file, every call is written down.
OVS_CTL = """#!/bin/sh
cd "$(dirname "$0")"
echo "$1" >> calls
case $1 in
status) test -e running ;;
start) echo 'ulimit: error setting limit'; test -e broken && { echo 'no database'; exit 1; }
       touch running ;;
stop) rm running ;;
esac
"""
# The script under test, with its two paths and its root check turned to the test's folder.
LAUNCH = """
import os, runpy, sys
from pathlib import Path
folder, script = Path(sys.argv[1]), sys.argv[2]
os.geteuid = lambda: int(os.environ.get("TEST_UID", "0"))
module = runpy.run_path(script)
module["ovs_ctl"].__globals__.update(OVS_CTL=str(folder / "ovs-ctl"), STATE=folder / "state")
sys.argv = [script, *sys.argv[3:]]
sys.exit(module["main"]())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    control = tmp_path / "ovs-ctl"
    control.write_text(OVS_CTL)
    control.chmod(0o755)
    return tmp_path


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(folder), str(SCRIPT), *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def calls(folder: Path) -> list[str]:
    return [c for c in (folder / "calls").read_text().split() if c != "status"]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.01)


def test_started_for_the_command_and_stopped_after_it(folder: Path) -> None:
    probe = f"test -e {folder}/running && echo up; exit 3"
    assert finish(start(folder, "sh", "-c", probe)) == (3, "up\n", "")
    assert calls(folder) == ["start", "stop"]


def test_one_that_ran_before_is_left_alone(folder: Path) -> None:
    (folder / "running").touch()
    assert finish(start(folder, "true")) == (0, "", "")
    assert calls(folder) == []


def test_the_last_of_two_commands_stops_it(folder: Path) -> None:
    wait = f"touch {folder}/first; while test ! -e {folder}/go; do sleep 0.02; done"
    first = start(folder, "sh", "-c", wait)
    wait_for(folder / "first")
    assert finish(start(folder, "true"))[0] == 0
    assert calls(folder) == ["start"]
    (folder / "go").touch()
    assert finish(first)[0] == 0
    assert calls(folder) == ["start", "stop"]


def test_one_whose_starter_was_killed_is_stopped_by_the_next(folder: Path) -> None:
    first = start(
        folder, "sh", "-c", f"echo $$ > {folder}/pid; touch {folder}/first; exec sleep 15"
    )
    wait_for(folder / "first")
    first.kill()
    first.wait()
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    first.communicate()
    assert calls(folder) == ["start"]
    assert finish(start(folder, "true"))[0] == 0
    assert calls(folder) == ["start", "stop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_tidies_up_first(folder: Path, number: signal.Signals) -> None:
    tidy = (
        f"trap 'echo tidied; exit 7' INT TERM; touch {folder}/first; while :; do sleep 0.05; done"
    )
    process = start(folder, "bash", "-c", tidy)
    wait_for(folder / "first")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as the terminal does: the whole group
    else:
        process.send_signal(number)  # as `kill` does: this process alone
    assert finish(process) == (7, "tidied\n", "")
    assert calls(folder) == ["start", "stop"]


def test_a_failed_start_is_one_line_with_the_reason(folder: Path) -> None:
    (folder / "broken").touch()
    code, out, err = finish(start(folder, "echo", "never"))
    assert (code, out) == (2, "")
    assert err == ("septum: cannot start Open vSwitch: no database (see /var/log/openvswitch)\n")


def test_without_root_it_says_so(folder: Path) -> None:
    code, out, err = finish(start(folder, "true", TEST_UID="1000"))
    assert (code, out) == (2, "")
    assert err.startswith("septum: real switches need root")
    assert err.count("\n") == 1

"""The lab itself on real switches: what it builds, and that nothing of it stays."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mininet_tests.lab.controller import ROOT
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.leftovers import LOCKS, remove_leftovers, run_directory, tag_of
from mininet_tests.lab.machine import vsctl
from mininet_tests.lab.plan import LabError, LabHost, LabPlan
from topology.records import Link

HOSTS = (
    LabHost("h1", "02:00:00:00:00:01", ("10.0.0.1", "fd00::1"), 0xA1, 7),
    LabHost("h2", "02:00:00:00:00:02", ("10.0.0.2", "fd00::2"), 0xB2, 3),
    LabHost("h3", "02:00:00:00:00:03", ("10.0.0.3",), 0xB2, 9),
)
PLAN = LabPlan((0xA1, 0xB2), HOSTS, (Link(0xA1, 31, 0xB2, 32),))
TOPOLOGY = """
kind: LabTopology
hosts:
  h1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1}
"""


def traces(tag: str) -> list[str]:
    """Everything on this machine that carries a lab's tag."""
    names = [*vsctl("list-br").split(), *(p.name for p in Path("/sys/class/net").iterdir())]
    found = [name for name in names if tag_of(name) == tag]
    return found + [str(p) for p in (run_directory(tag), LOCKS / tag) if p.exists()]


def tag_in(text: str) -> str:
    found = re.search(r"\bspt([0-9a-z]{4})s1\b", text)
    assert found is not None, text
    return found[1]


def test_ports_and_datapath_ids_are_the_plans(plain_lab: Callable[[LabPlan], Lab]) -> None:
    network = plain_lab(PLAN)
    shown = network.ofctl(0xB2, "show")
    assert "dpid:00000000000000b2" in shown
    ports = {int(n) for n in re.findall(r"^ (\d+)\(", shown, re.MULTILINE)}
    assert ports == {3, 9, 32}
    assert vsctl("get-fail-mode", network.bridge(0xB2)).strip() == "secure"
    address = network.host("h1").run(["cat", "/sys/class/net/eth0/address"])
    assert address.stdout.strip() == "02:00:00:00:00:01"


def test_both_families_cross_the_switches_at_once(plain_lab: Callable[[LabPlan], Lab]) -> None:
    network = plain_lab(PLAN)
    for address in ("10.0.0.2", "fd00::2", "10.0.0.3"):
        done = network.host("h1").run(["ping", "-c", "1", "-W", "2", address])
        assert done.ok, done.stdout
    # A stream is what stalls when checksums are left to hardware that is not there.
    network.host("h2").start(["ncat", "-l", "5000", "--recv-only", "-o", "/dev/null"])
    time.sleep(0.3)
    send = "head -c 3000000 /dev/zero | ncat --send-only -w 5 fd00::2 5000"
    assert network.host("h1").run(["sh", "-c", send], timeout=8).ok


def test_switches_without_rules_forward_nothing() -> None:
    with Lab(PLAN) as network:
        assert not network.host("h1").run(["ping", "-c", "1", "-W", "1", "10.0.0.2"]).ok
        assert not network.connected()


def test_idle_hosts_are_silent(plain_lab: Callable[[LabPlan], Lab]) -> None:
    network = plain_lab(PLAN)
    listen = ["timeout", "3", "tcpdump", "-i", "eth0", "-n", "-Q", "in", "-Z", "root"]
    heard = network.host("h3").run(listen, timeout=6)
    assert "\n0 packets captured" in heard.stderr, heard.stdout


def test_a_program_is_bounded_in_time(plain_lab: Callable[[LabPlan], Lab]) -> None:
    network = plain_lab(PLAN)
    done = network.host("h1").run(["sh", "-c", "sleep 30 & sleep 30"], timeout=0.5)
    assert done.returncode is None
    assert done.seconds < 3


def test_unknown_hosts_are_named() -> None:
    with Lab(PLAN) as network, pytest.raises(LabError, match="no host named h9"):
        network.host("h9")


def test_nothing_stays_after_a_failure_inside() -> None:
    with pytest.raises(RuntimeError), Lab(PLAN) as network:
        tag = tag_in(network.bridge(0xA1))
        server = network.host("h1").start(["sleep", "60"])
        assert traces(tag)
        raise RuntimeError("something went wrong in the lab")
    assert traces(tag) == []
    assert server.poll() is not None


def start_lab_command(tmp_path: Path) -> tuple[subprocess.Popen[str], str]:
    path = tmp_path / "one.yaml"
    path.write_text(TOPOLOGY)
    argv = [sys.executable, "-m", "console", "lab", str(path)]
    running = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert running.stderr is not None
    first = running.stderr.readline()
    assert "Ctrl-C" in running.stderr.readline()
    return running, tag_in(first)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_takes_everything_down(tmp_path: Path, number: signal.Signals, code: int) -> None:
    running, tag = start_lab_command(tmp_path)
    assert traces(tag)
    running.send_signal(number)
    assert running.wait(20) == code
    assert traces(tag) == []


def test_what_a_killed_lab_leaves_is_removed_and_live_labs_are_left_alone(tmp_path: Path) -> None:
    killed, dead = start_lab_command(tmp_path)
    with Lab(PLAN) as network:
        alive = tag_in(network.bridge(0xA1))
        before = traces(alive)
        killed.kill()
        killed.wait(10)
        assert traces(dead)
        gone = remove_leftovers()
        assert f"spt{dead}s1" in gone
        assert traces(dead) == []
        assert traces(alive) == before


def test_the_prompt_runs_commands_on_hosts(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(TOPOLOGY)
    done = subprocess.run(
        [sys.executable, "-m", "console", "lab", str(path), "--shell"],
        input="h1 ip -br addr show eth0\nexit\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "10.0.0.1/16" in done.stdout + done.stderr
    assert traces(tag_in(done.stderr)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [("kind: Other\n", "not a topology file"), (None, "cannot be read"), ("a: [\n", "not YAML")],
)
def test_a_wrong_topology_is_one_line_and_exit_2(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "wrong.yaml"
    if text is not None:
        path.write_text(text)
    argv = [sys.executable, "-m", "console", "lab", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

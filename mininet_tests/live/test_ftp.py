"""Real FTP: data connections pass under their control connection's intent, and no others do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.outage import TALK
from mininet_tests.experiments.updates import put_in_force
from mininet_tests.lab.lab import Lab
from mininet_tests.live.conftest import MakeController, MakeLab
from topology.records import Link

ENDS = str(Path(__file__).parents[2] / "tests" / "support" / "live" / "ftp_ends.py")
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: files}
hosts:
  client: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1}
  server: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 2, port: 1}
  third: {mac: "02:00:00:00:00:03", ip: [10.0.0.3, "fd00::3"], switch: 2, port: 2}
segments:
  clients: {members: [{host: client}], mode: enforce}
  servers: {members: [{host: server}], mode: enforce}
services:
  files: [{port: tcp/21, helper: ftp}]
intents:
  - {name: files, from: clients, to: servers, services: [files]}
  - {name: watch, from: clients, to: servers, services: [tcp/80]}
defaults: {action: deny, mode: enforce}
"""
SIZE = 300_000


def fetched(lab: Lab, *words: str) -> int:
    done = lab.host("client").run([sys.executable, ENDS, "fetch", *words], timeout=15)
    return int(done.stdout.split()[-1])


@pytest.mark.timeout(120)
def test_ftp(lab: MakeLab, controller: MakeController, tmp_path: Path) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    running = controller(network)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "some").write_bytes(b"x" * SIZE)
    (tmp_path / "files" / "much").write_bytes(b"x" * 20 * SIZE)
    for address in ("10.0.0.2", "fd00::2"):
        serve = [sys.executable, ENDS, "serve", address, str(tmp_path / "files")]
        network.host("server").start(serve)
    time.sleep(1)

    for address in ("10.0.0.2", "fd00::2"):
        for how in ("passive", "active"):
            assert fetched(network, address, how, "some") == SIZE, (address, how)

    # A port of the server's that no control connection named.
    network.host("server").start([sys.executable, TALK, "answer", "10.0.0.2", "30000"])
    network.host("third").start([sys.executable, TALK, "answer", "10.0.0.3", "30001"])
    time.sleep(0.5)
    knock = [sys.executable, TALK, "knock", "10.0.0.2", "30000", "0.01"]
    assert '"opened": 0' in network.host("client").run(knock, timeout=8).stdout

    # A PORT that names a third host, and one that names the client's own port 22.
    for where, host, port in (
        ("10,0,0,3,117,49", "third", 30_001),
        ("10,0,0,1,0,22", "client", 22),
    ):
        watch = ["tcpdump", "-l", "-n", "-i", "eth0", "-c", "1", f"tcp dst port {port}"]
        seen = network.host(host).start(watch)
        time.sleep(0.7)
        forged = [sys.executable, ENDS, "port", "10.0.0.2", where, "some"]
        network.host("client").run(forged, timeout=15)
        time.sleep(0.5)
        assert seen.poll() is None, f"a data connection reached {host} on port {port}"
        seen.kill()

    # The intent goes: a running transfer ends with it.
    slow = [sys.executable, ENDS, "fetch", "10.0.0.2", "passive", "much", "0.1"]
    transfer = network.host("client").start(slow, stdout=subprocess.PIPE)
    time.sleep(2)
    files = "  - {name: files, from: clients, to: servers, services: [files]}\n"
    assert put_in_force(running, POLICY.replace(files, ""))
    out, _ = transfer.communicate(timeout=30)
    assert 0 < int(out.split()[-1]) < 20 * SIZE
    assert fetched(network, "10.0.0.2", "passive", "some") == 0
    answer = ask_controller(running.options.state, {"do": "check"}, 15)
    assert [each["state"] for each in answer["switches"]] == ["right", "right"], answer

"""A threat feed on real switches: it blocks, it only records, break-glass outranks it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mininet_tests.experiments.outage import POLICY, TALK
from mininet_tests.lab.controller import ROOT, Controller
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.waiting import within
from mininet_tests.live.conftest import MakeController, MakeLab
from topology.records import Link

FEED = (
    "feeds: [{name: drop, path: drop.txt, format: cidr-list, mode: MODE, refresh: 1h,"
    " may_list_own: true}]\n"
)
POLICY = POLICY.replace(
    "defaults:",
    "  - {name: break-glass, from: a, to: b, services: [tcp/7001], tier: emergency}\ndefaults:",
)


def septum(running: Controller, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *words, "--state", str(running.options.state)],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip


def opens(lab: Lab, host: str, port: str = "7000", to: str = "10.0.0.3") -> bool:
    done = lab.host(host).run([sys.executable, TALK, "knock", to, port, "0.05"], 10)
    return '"opened": 1' in done.stdout


def verdicts(running: Controller, since: float) -> set[str]:
    """Of connections to the answering port by the listed host."""
    rows = json.loads(septum(running, "flows", "--from", "a1", "--json").stdout)
    wanted = [row for row in rows if row["ts"] >= since and row["dst_port"] == 7000]
    assert all((row["verdict"] == "allow") == ("feed" not in row) for row in wanted), wanted
    return {row["verdict"] for row in wanted}


@pytest.mark.timeout(180)
def test_a_feed_blocks_records_and_lets_go(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    feed = tmp_path / "drop.txt"
    feed.write_text("# nobody yet\n")
    enforce = POLICY + FEED.replace("MODE", "enforce")
    network = lab(enforce, links=[Link(1, 9, 2, 9)])
    running = controller(network)
    for port in ("7000", "7001"):
        network.host("b1").start([sys.executable, TALK, "answer", "10.0.0.3", port])
    assert within(10, lambda: opens(network, "a1") and opens(network, "a1", "7001"))

    # Listed: new connections and the one that is open stop, and nobody else's. What would cut
    # off a whole segment (b has one host), or reach for loopback, is refused and told.
    talker = network.host("a1").start(
        [sys.executable, TALK, "talk", "10.0.0.3", "7000", "60"], stdout=subprocess.PIPE
    )
    feed.write_text("10.0.0.1\n203.0.113.0/24\n10.0.0.3\n127.0.0.1\n")
    refreshed = septum(running, "feeds", "refresh", "--json")
    assert refreshed.returncode == 0, refreshed.stderr
    (told,) = json.loads(refreshed.stdout)
    assert (told["state"], told["in_force"], told["refused_count"]) == ("fresh", 2, 2)
    assert {note["text"] for note in told["refused"]} == {"10.0.0.3/32", "127.0.0.1/32"}
    assert within(5, lambda: not opens(network, "a1"))
    talker.communicate(timeout=20)  # it would have gone on for a minute
    assert opens(network, "a2"), "who is not listed goes on"
    assert opens(network, "a1", "7001"), "emergency intents outrank feeds"
    assert "drop fresh, enforce, 2 in force, 2 refused" in septum(running, "status").stdout

    # The source goes away, and the controller dies: what it said last stays, from the start on.
    feed.unlink()
    assert septum(running, "feeds", "refresh").returncode == 1
    running.kill()
    assert not opens(network, "a1")
    running.start()
    running.wait_ready()
    assert not opens(network, "a1")
    assert "No such file" in septum(running, "feeds", "list").stdout

    # Only recorded under audit.
    feed.write_text("10.0.0.1\n")
    assert septum(running, "feeds", "refresh").returncode == 0
    audit = tmp_path / "audit.yaml"
    audit.write_text(POLICY + FEED.replace("MODE", "audit"))
    assert septum(running, "policy", "apply", str(audit)).returncode == 0
    assert within(10, lambda: opens(network, "a1"))
    since = time.time()
    assert opens(network, "a1")
    assert within(10, lambda: verdicts(running, since) == {"would-deny"})

    # An indicator that names a port stops that service of the listed host, and no other.
    for port in ("7000", "7002"):
        network.host("a2").start([sys.executable, TALK, "answer", "10.0.0.2", port])
    both = tmp_path / "both.yaml"
    both.write_text(
        POLICY.replace(
            "from: a, to: b, services: [tcp/7000]", "from: any, to: any, services: [any]"
        )
        + FEED.replace("MODE", "enforce")
    )
    assert septum(running, "policy", "apply", str(both)).returncode == 0
    assert within(5, lambda: opens(network, "b1", "7000", "10.0.0.2"))
    feed.write_text("10.0.0.2:7000\n")
    assert septum(running, "feeds", "refresh").returncode == 0
    assert within(5, lambda: not opens(network, "b1", "7000", "10.0.0.2"))
    assert opens(network, "b1", "7002", "10.0.0.2")
    assert opens(network, "a2"), "as the one who asks it is not listed"
    assert septum(running, "policy", "rollback").returncode == 0

    # Gone from the list: as if it had never been there.
    feed.write_text("203.0.113.0/24\n")
    assert septum(running, "feeds", "refresh", "drop").returncode == 0
    time.sleep(0.5)
    since = time.time()
    assert opens(network, "a1")
    assert within(10, lambda: verdicts(running, since) == {"allow"})
    checked = septum(running, "switches", "--check")
    assert checked.returncode == 0, checked.stdout
    running.stop()
    told = json.loads(septum(running, "audit", "list", "--kind", "feed", "--json").stdout)
    assert [each["data"]["what"] for each in told].count("failed") == 1
    assert septum(running, "audit", "verify").returncode == 0

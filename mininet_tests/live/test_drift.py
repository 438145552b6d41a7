"""Rules changed by hand on a running switch: found, named and put right, with an audit entry."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from mininet_tests.experiments.outage import POLICY
from mininet_tests.lab.controller import ROOT, Controller
from mininet_tests.lab.lab import Lab
from mininet_tests.live.conftest import MakeController, MakeLab
from policies.rules.layout import RuleTable
from response.state.store import Store
from topology.records import Link

LONGEST = 10.0  # seconds until a change by somebody else is repaired
FAULTS: dict[str, tuple[str, ...]] = {
    "extra": ("add-flow", "table=0,priority=60000,in_port=1,actions=output:2"),
    "missing": ("del-flows", "--strict", f"table={int(RuleTable.MODE)},priority=0"),
    "altered": (
        "add-flow",
        f"table={int(RuleTable.POLICY)},priority=0,actions=goto_table:{int(RuleTable.FORWARD)}",
    ),
}


def rules(lab: Lab) -> list[str]:
    """Both switches' rules without counters; what they learned themselves left out."""
    found = (
        line
        for d in lab.plan.switches
        for line in lab.ofctl(d, "dump-flows", "--no-stats").splitlines()
    )
    return sorted(line.strip() for line in found if f"table={int(RuleTable.COUNT)}," not in line)


def check(running: Controller) -> tuple[int, list[dict[str, Any]]]:
    words = ["switches", "--check", "--json", "--state", str(running.options.state)]
    done = subprocess.run(
        [sys.executable, "-m", "console", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(120)
def test_what_is_changed_by_hand_is_named_and_put_right(
    lab: MakeLab, controller: MakeController
) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    running = controller(network, extra=("--analysis", "process"))
    code, found = check(running)
    assert code == 0 and [each["state"] for each in found] == ["right", "right"]
    right = rules(network)
    for kind, words in FAULTS.items():
        network.ofctl(1, *words)
        since = time.monotonic()
        code, found = check(running)
        assert code == 1 and found[0]["state"] == "drift", (kind, found)
        assert [len(found[0][each]) for each in FAULTS] == [each == kind for each in FAULTS], found
        while rules(network) != right:
            assert time.monotonic() - since < LONGEST, kind
            time.sleep(0.2)
    time.sleep(3.5)
    code, found = check(running)
    assert code == 0, found
    running.stop()
    store = Store.open(running.options.state, time.time())
    entries = [e.values() for e in store.audit_entries() if e.kind == "switch"]
    store.close()
    for what in ("drift", "repaired"):
        assert [e["switch"] for e in entries if e["what"] == what] == [1, 1, 1]

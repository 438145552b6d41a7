"""What a person does to a running controller, and what its switches have then."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from msgspec import structs

from console.clients.analysis_socket import ask_analysis
from mininet_tests.lab.controller import ROOT, Controller
from mininet_tests.lab.lab import Lab
from policies.rules.layout import RuleTable
from response.decision import Decision
from response.ipc.messages import Ask
from response.state.store import Store

SEPTUM = [sys.executable, "-m", "console"]
PROPOSAL = Decision(
    id="d1",
    number=1,
    ts=0.0,
    action="isolate",
    target="suspect",
    addresses=("10.0.0.1", "fe80::ff:fe00:1"),
    scope="host",
    state="proposed",
    ttl=600,
    alert="a1",
    why="it moved",
    would_release_if="released by a person",
    by="septum",
)


def septum(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SEPTUM, *words], capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
    )


def apply(controller: Controller, path: Path) -> subprocess.CompletedProcess[str]:
    return septum("policy", "apply", str(path), "--state", str(controller.options.state))


def rules(lab: Lab) -> list[str]:
    """Every switch's rules without their counters and ages; what it learned itself left out."""
    found = []
    for dpid in lab.plan.switches:
        for line in lab.ofctl(dpid, "dump-flows", "--no-stats").splitlines():
            if f"table={int(RuleTable.COUNT)}," not in line:
                found.append(f"{dpid} {line.strip()}")
    return sorted(found)


def propose(state: Path, *decisions: Decision) -> None:
    """Put proposals where the analysis finds them when it starts."""
    state.mkdir(exist_ok=True)
    store = Store.open(state, time.time())
    for each in decisions:
        store.save_decision(structs.replace(each, ts=time.time() + 60))  # not yet out of time then
        store.next_decision_number()
    store.close()


def asked(controller: Controller, what: str, decision: str) -> float:
    """Have a person decide; when they said so."""
    moment = time.time()
    answer = ask_analysis(controller.options.state, Ask(what, decision, "tester"))
    assert answer.ok, answer
    return moment

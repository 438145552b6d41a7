"""Lesser switches, as a proxy makes them of Open vSwitch: right traffic, safe changes, limits."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from console.controller import ask_controller
from mininet_tests.conftest import MakeController, MakeLab
from mininet_tests.controller import Controller
from mininet_tests.lab import Lab
from mininet_tests.outage import POLICY, TALK
from mininet_tests.restrict import Limits, Restriction
from mininet_tests.test_policy_live import apply
from topology.records import Link

OPEN, SHUT = "7000", "7001"
OTHER = POLICY.replace("tcp/7000", "tcp/7001")
LARGE = POLICY.replace(
    "intents:\n",
    "intents:\n"
    + "".join(
        f"  - {{name: x{n}, from: a, to: b, services: [tcp/{8000 + 2 * n}]}}\n" for n in range(60)
    ),
)
CONNECTIONS = (("a1", "10.0.0.3"), ("a2", "fd00::3"))


def opens(network: Lab, port: str) -> list[bool]:
    """Whether connections from the other switch and over IPv6 come about."""
    found = []
    for host, address in CONNECTIONS:
        words = [sys.executable, TALK, "knock", address, port, "0.05"]
        found.append('"opened": 1' in network.host(host).run(words, timeout=10).stdout)
    return found


def switches(running: Controller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask_controller(running.options.state, {"do": "status"})[
        "switches"
    ]
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind", "limits"),
    [
        ("stateless", Limits(vendor=False, tables=13, delay=0.002, shuffle=1)),
        ("single", Limits(vendor=False, tables=1, delay=0.002, shuffle=2)),
    ],
)
def test_a_lesser_switch_enforces_changes_and_says_its_limits(
    lab: MakeLab, controller: MakeController, tmp_path: Path, kind: str, limits: Limits
) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    assert network.controller is not None
    port = int(network.controller.rpartition(":")[2])
    with Restriction(limits, port) as proxy:
        network.set_controller(f"tcp:127.0.0.1:{proxy.port}")
        running = controller(network, extra=("--analysis", "none"), port=port)
        for each in ("10.0.0.3", "fd00::3"):
            for service in (OPEN, SHUT):
                network.host("b1").start([sys.executable, TALK, "answer", each, service])
        time.sleep(0.5)
        assert {each["kind"] for each in switches(running)} == {kind}
        assert all(each["limits"] for each in switches(running))
        assert opens(network, OPEN) == [True, True]
        assert opens(network, SHUT) == [False, False]
        for text, allowed in ((OTHER, SHUT), (POLICY, OPEN)):
            (tmp_path / "next.yaml").write_text(text)
            assert apply(running, tmp_path / "next.yaml").returncode == 0
            time.sleep(0.5)
            assert opens(network, allowed) == [True, True]
            assert opens(network, SHUT if allowed == OPEN else OPEN) == [False, False]
        _full(network, running, proxy, tmp_path / "large.yaml")
        running.kill()
        sent = proxy.seen.flow_mods
        running.start()
        running.wait_ready()
        assert proxy.seen.flow_mods == sent, running.log[-3000:]


def _full(network: Lab, running: Controller, proxy: Restriction, large: Path) -> None:
    """The switch has less room than it said: told, and everything stays as it was."""
    limits = proxy.limits
    limits.told, limits.size = limits.size, max(each["rules"] for each in switches(running))
    large.write_text(LARGE)
    talker = network.host("a1").start(
        [sys.executable, TALK, "talk", "10.0.0.3", OPEN, "3"], stdout=subprocess.PIPE
    )
    assert apply(running, large).returncode == 0
    until = time.monotonic() + 5
    while not any("is full" in each["problem"] for each in switches(running)):
        assert time.monotonic() < until, running.log[-2000:]
        time.sleep(0.1)
    assert proxy.seen.full and "is full" in running.log
    assert opens(network, OPEN) == [True, True] and opens(network, SHUT) == [False, False]
    out, _ = talker.communicate(timeout=15)
    assert '"sent": ' in out and _counts(out)["sent"] == _counts(out)["answered"] > 50
    large.write_text(POLICY)
    assert apply(running, large).returncode == 0
    limits.size = limits.told
    until = time.monotonic() + 10
    while any(each["problem"] for each in switches(running)):
        assert time.monotonic() < until, running.log[-2000:]
        time.sleep(0.1)


def _counts(text: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(text)
    return found

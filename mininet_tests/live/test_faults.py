"""Faults under traffic: nothing denied passes, and only a switch that is down loses anything."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mininet_tests.experiments import faults
from mininet_tests.experiments.restricting_proxy import Limits, RestrictingProxy
from mininet_tests.experiments.updates import policy
from mininet_tests.lab.controller import ROOT, Controller, free_port
from mininet_tests.lab.machine import vsctl
from mininet_tests.live.conftest import MakeController, MakeLab
from tests.support.live.operating import apply, rules
from topology.records import Link

LINKS = (Link(1, 9, 2, 9),)


def unharmed(felt: faults.Felt) -> bool:
    return felt.sent > 500 and felt.lost == felt.leaked == 0


@pytest.mark.timeout(150)
def test_faults_are_not_felt(lab: MakeLab, controller: MakeController, tmp_path: Path) -> None:
    network = lab(policy(0), links=LINKS)
    assert network.controller is not None
    port = int(network.controller.rpartition(":")[2])
    with RestrictingProxy(Limits(), port) as proxy:
        network.set_controller(f"tcp:127.0.0.1:{proxy.port}")
        running = controller(network, port=port)
        right = rules(network)

        felt = faults.under_traffic(network, running, faults.analysis_killed(running), 6.0)
        assert unharmed(felt), felt
        felt = faults.under_traffic(network, running, faults.controller_killed(running), 6.0)
        assert unharmed(felt) and felt.flow_mods == 0, felt
        felt = faults.under_traffic(network, running, faults.link_hung(proxy, 3.0), 6.0)
        assert unharmed(felt) and rules(network) == right, felt
        faults.wait_for(network.connected, 15, "not connected")
        emptied = faults.switch_emptied(network, running)
        felt = faults.under_traffic(network, running, emptied, 6.0)
        assert felt.leaked == 0 and felt.lost < felt.sent / 2, felt
        assert rules(network) == right
        (tmp_path / "policy.yaml").unlink()
        felt = faults.under_traffic(network, running, faults.analysis_killed(running), 6.0)
        assert unharmed(felt) and running.running, felt
        (tmp_path / "next.yaml").write_text(policy(1))
        assert apply(running, tmp_path / "next.yaml").returncode == 0


@pytest.mark.timeout(120)
def test_two_controllers_do_not_fight(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    network = lab(policy(0), links=LINKS)
    first = controller(network, extra=("--analysis", "none"))
    right = rules(network)
    (tmp_path / "other.yaml").write_text(policy(1))
    options = replace(
        first.options,
        policy=tmp_path / "other.yaml",
        state=tmp_path / "second",
        of_port=free_port(),
    )
    (tmp_path / "second").mkdir()
    second = Controller(options, tmp_path / "second")
    try:
        mistake = faults.second_controller(network, first, second, "standby")
        felt = faults.under_traffic(network, first, mistake, 6.0)
        assert unharmed(felt) and rules(network) == right, felt
        assert "--takeover" in second.log
        done = subprocess.run(
            [sys.executable, "-m", "console", "switches", "--state", str(options.state)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert "staying out" in done.stdout or "belongs to" in done.stdout, done.stdout
        second.stop()
        second.options = replace(options, extra=(*options.extra, "--takeover"))
        meant = faults.second_controller(network, first, second, "ready")
        felt = faults.under_traffic(network, second, meant, 6.0)
        assert unharmed(felt), felt
        taken = rules(network)
        assert taken != right
        faults.wait_for(
            lambda: {e["phase"] for e in faults.status(first)["switches"]} == {"standby"},
            10,
            "fight",
        )
        (tmp_path / "back.yaml").write_text(policy(2))
        apply(first, tmp_path / "back.yaml")
        assert rules(network) == taken
    finally:
        second.kill()


@pytest.mark.timeout(60)
def test_switches_come_over_tls(lab: MakeLab, controller: MakeController, tmp_path: Path) -> None:
    network = lab(policy(0), links=LINKS)
    tls, port = tmp_path / "tls", free_port()
    septum = [sys.executable, "-m", "console"]
    subprocess.run([*septum, "certificates", str(tls)], cwd=ROOT, timeout=30, check=True)
    files = (str(tls / name) for name in ("switch.key", "switch.crt", "ca.crt"))
    vsctl("set-ssl", *files)
    try:
        network.set_controller(f"ssl:127.0.0.1:{port}")
        words = ("--of-ssl-port", str(port), "--of-ca", str(tls / "ca.crt"), "--analysis", "none")
        ours = (f"--of-key={tls / 'controller.key'}", f"--of-cert={tls / 'controller.crt'}")
        running = controller(network, extra=(*words, *ours), port=free_port())
        felt = faults.under_traffic(network, running, lambda: None, 1.5)
        assert felt.lost == felt.leaked == 0 < felt.sent
        # Open vSwitch writes this down every five seconds.
        faults.wait_for(network.connected, 15, "not connected")
    finally:
        vsctl("del-ssl")

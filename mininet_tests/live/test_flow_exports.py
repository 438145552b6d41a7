"""Flow exports of Open vSwitch become the connections that were made."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from analysis.collector.flow_collector import FlowCollector
from analysis.collector.process import listening
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import LabPlan, plan_from_policy
from policies.language.reader import load_policy

POLICY = "policies/examples/lab.yaml"
NETFLOW = ("netflow", "NetFlow", "active_timeout=1")
IPFIX = ("ipfix", "IPFIX", "sampling=1", "cache_active_timeout=1", "cache_max_flows=1000")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("form", [NETFLOW, IPFIX], ids=["NetFlow 5", "IPFIX"])
def test_open_vswitch(form: tuple[str, ...], plain_lab: Callable[[LabPlan], Lab]) -> None:
    network = plain_lab(plan_from_policy(load_policy([POLICY]), ()))
    one, other = network.host("node1"), network.host("node2")
    collector = FlowCollector()
    with listening("127.0.0.1", 0) as listener:
        column, table, *settings = form
        target = f'targets="127.0.0.1:{listener.getsockname()[1]}"'
        subprocess.run(
            ["ovs-vsctl", "--timeout=5", "set", "bridge", network.bridge(one.plan.switch),
             f"{column}=@it", "--", "--id=@it", "create", table, target, *settings],
            check=True, capture_output=True,
        )  # fmt: skip
        address = other.plan.ips[0]
        other.start([sys.executable, TALK, "answer", address, "5432"])
        time.sleep(0.5)
        knock = [sys.executable, TALK, "knock", address, "5432", "0.01"]
        assert '"opened": 1' in one.run(knock, timeout=5).stdout
        found = set()
        listener.settimeout(1.0)
        until = time.monotonic() + 40
        while time.monotonic() < until and (address, "tcp/5432") not in found:
            try:
                data, sender = listener.recvfrom(65_535)
                collector.take(data, sender[0], time.time())
            except TimeoutError:
                pass
            collector.due(time.time())
            found |= {(each.dst_ip, each.service) for each in collector.next(10_000)}
    assert (address, "tcp/5432") in found, (collector.counts(), collector.next(5))
    (counts,) = collector.counts()
    assert counts.rows and not counts.bad and not counts.untemplated, counts
    mine = [each for each in collector.next(10_000) if each.service == "tcp/5432"]
    assert all(each.src_ip == one.plan.ips[0] for each in mine)
    assert all(abs(each.ts - time.time()) < 60 for each in mine)

"""Hops over ssh that policy allows, with no scan before them: seen as a path, and stopped."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mininet_tests.experiments.outage import TALK
from mininet_tests.live.conftest import MakeController, MakeLab
from response.state.store import Store
from topology.records import Link

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: hops}
hosts:
  web1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {role: web}}
  web2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {role: web}}
  app1: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 2, port: 1, labels: {role: app}}
  app2: {mac: "02:00:00:00:00:04", ip: [10.0.0.4], switch: 2, port: 2, labels: {role: app}}
  db1: {mac: "02:00:00:00:00:05", ip: [10.0.0.5], switch: 1, port: 3, labels: {role: db}}
  db2: {mac: "02:00:00:00:00:06", ip: [10.0.0.6], switch: 1, port: 4, labels: {role: db}}
segments:
  web: {members: [{labels: {role: web}}], mode: enforce, adapt: auto}
  app: {members: [{labels: {role: app}}], mode: enforce, adapt: auto}
  db: {members: [{labels: {role: db}}], mode: enforce, adapt: auto}
intents:
  - {name: web-calls-app, from: web, to: app, services: [tcp/8080]}
  - {name: app-reads-db, from: app, to: db, services: [tcp/5432]}
  - {name: anyone-ssh, from: any, to: any, services: [tcp/22]}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [alert, quarantine], max_hosts: 3, max_share: 0.5, ttl: 10m}
"""
USUAL = (
    ("web1", "app1", "8080"),
    ("web2", "app2", "8080"),
    ("web1", "app2", "8080"),
    ("app1", "db1", "5432"),
    ("app2", "db2", "5432"),
)
HOPS = (("web1", "app1"), ("app1", "app2"), ("app2", "db1"), ("db1", "db2"))


@pytest.mark.timeout(90)
def test_a_chain_of_allowed_hops_is_a_path(lab: MakeLab, controller: MakeController) -> None:
    network = lab(POLICY, links=[Link(1, 9, 2, 9)])
    running = controller(network)
    address = {host.name: host.plan.ips[0] for host in network.hosts}
    for host in network.hosts:
        for port in ("22", "5432", "8080"):
            host.start([sys.executable, TALK, "answer", address[host.name], port])
    time.sleep(1)

    def exchange(source: str, target: str, port: str) -> bool:
        words = [sys.executable, TALK, "knock", address[target], port, "0.01"]
        return '"opened": 1' in network.host(source).run(words, timeout=5).stdout

    for _ in range(6):
        assert all(exchange(*usual) for usual in USUAL)
    store = Store.open(Path(running.options.state), time.time())
    assert store.alerts() == (), "the usual traffic is nobody's fault"
    for source, target in HOPS:
        exchange(source, target, "22")
        time.sleep(1)
    alerts = [stored.alert for stored in store.alerts()]
    decided = store.decisions()
    store.close()
    paths = [alert for alert in alerts if alert.kind == "lateral-path"]
    assert paths, alerts
    walked = [(hop.src, hop.dst) for hop in paths[0].path]
    assert walked[:2] == [(address[a], address[b]) for a, b in HOPS[:2]], "from its origin on"
    assert decided and decided[0].state == "active"
    assert not exchange(decided[0].target, "web2", "22")

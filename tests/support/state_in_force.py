"""A state directory as a controller leaves it: a policy in force, hosts, a decision, a feed."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path

from msgspec import structs

from policies.feed_block import FeedBlock
from policies.model import Mode
from policies.semantics.prefixes import prefix_of
from response.decision import Decision
from response.feed_listing import ListFeed
from response.state.policy_versions import Versions, at_start
from response.state.store import Store
from topology.records import Binding

OFFICE = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: office}
hosts:
  c1: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {role: pc}}
  c2: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 1, port: 2, labels: {role: pc}}
  c3: {mac: "02:00:00:00:00:03", switch: 2, port: 1, labels: {role: pc}}
  web: {mac: "02:00:00:00:00:04", ip: [10.0.0.4], switch: 2, port: 2, labels: {role: web}}
segments:
  pcs: {members: [{labels: {role: pc}}], mode: enforce, adapt: auto}
  web: {members: [{labels: {role: web}}], mode: enforce}
intents:
  - {name: browse, from: pcs, to: web, services: [tcp/443]}
  - {name: no-print, from: pcs, to: web, services: [tcp/631], action: deny}
defaults: {action: deny, mode: enforce}
"""
C3_LEASE = Binding("02:00:00:00:00:03", "10.0.0.33", 2, 1, "c3")


def quarantine(now: float, target: str = "c2", address: str = "10.0.0.2") -> Decision:
    return Decision(
        "d1", 1, now, "quarantine", target, (address,), "host", "active", 900, "a1",
        "it scanned", "900 s pass", "septum",
    )  # fmt: skip


def state_in_force(
    folder: Path, policy: str = OFFICE, decisions: tuple[Decision, ...] = (), listed: str = ""
) -> Path:
    """``listed`` is an address that the feed `drop` denies."""
    path = folder / "office.yaml"
    path.write_text(policy)
    state = folder / "state"
    state.mkdir()
    at_start(Versions(state), [str(path)], "ana", time.time())
    store = Store.open(state, time.time())
    store.save_bindings([C3_LEASE])
    for each in decisions:
        store.save_decision(structs.replace(each))
    if listed:
        block = FeedBlock("drop", Mode.ENFORCE, (prefix_of(ip_network(listed)),))
        store.save_feed_block(ListFeed.of(block))
    store.close()
    return state

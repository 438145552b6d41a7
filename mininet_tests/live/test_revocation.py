"""Whatever takes a connection's permission away stops it both ways at once; nothing else does.

Connections run all the time on two switches, each let in by intents of its own,
while policies change, a host is relabelled, the controller is killed, an intent
ends with nobody there, and a host is quarantined.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from mininet_tests.experiments.faults import status, wait_for
from mininet_tests.experiments.updates import put_in_force
from mininet_tests.live.conftest import MakeController, MakeLab
from tests.support.live.operating import PROPOSAL, asked, propose
from tests.support.live.streams import AT_ONCE, Stream, start
from topology.records import Link

HEAD = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: revocation}
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, labels: {side: a}}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 2, port: 1, labels: {side: b}}
  c: {mac: "02:00:00:00:00:03", ip: [10.0.0.3], switch: 2, port: 2, labels: {side: SIDE}}
segments:
  a: {members: [{labels: {side: a}}], mode: enforce, adapt: auto}
  b: {members: [{labels: {side: b}}], mode: enforce}
  others: {members: [{labels: {side: z}}, {cidr: 10.9.0.0/24}], mode: enforce}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [quarantine], ttl: 10m}
intents:
"""
KEEP = ", established: keep"


def allow(name: str, *ports: int, more: str = "") -> str:
    services = ", ".join(f"udp/{port}" for port in ports)
    return f"  - {{name: {name}, from: a, to: b, services: [{services}]{more}}}\n"


def stays(more: str = "") -> str:
    """The intents of every policy; two of them may end."""
    return "".join(
        [
            allow("covered-too", 7003),
            allow("untouched", 7007, 7008),
            allow("ends-cut", 7009, more=more),
            allow("ends-kept", 7010, more=more + KEEP),
            allow("relabelled", 7011, more=KEEP),
        ]
    )


def policies() -> tuple[str, str]:
    """The first, and one that takes some away."""
    goes = [
        allow("removed-cut", 7001),
        allow("removed-kept", 7002, more=KEEP),
        allow("covered", 7003),
        allow("narrowed-cut", 7005, 7055),
        allow("narrowed-kept", 7006, 7066, more=KEEP),
        allow("denied", 7004, more=KEEP),
    ]
    comes = [
        allow("narrowed-cut", 7055),
        allow("narrowed-kept", 7066, more=KEEP),
        allow("denied", 7004, more=KEEP),
        allow("deny-it", 7004, more=", action: deny, tier: security"),
    ]
    head = HEAD.replace("SIDE", "b") + stays()
    return head + "".join(goes), head + "".join(comes)


def relabelled(policy: str, ends: float) -> str:
    """The policy with host c elsewhere, and two intents that end."""
    moment = f", expires: {datetime.fromtimestamp(ends, UTC).isoformat()}"
    policy = policy.replace("port: 2, labels: {side: b}", "port: 2, labels: {side: z}")
    return policy.replace(stays(), stays(moment))


STREAMS = {
    "removed-cut": ("a", "b", 7001),
    "removed-kept": ("a", "b", 7002),
    "covered": ("a", "b", 7003),
    "denied": ("a", "b", 7004),
    "narrowed-cut": ("a", "b", 7005),
    "narrowed-kept": ("a", "b", 7006),
    "untouched": ("a", "b", 7007),
    "ends-cut": ("a", "b", 7009),
    "ends-kept": ("a", "b", 7010),
    "relabelled": ("a", "c", 7011),
}


@pytest.mark.timeout(120)
def test_what_loses_its_permission_stops_and_the_rest_goes_on(
    lab: MakeLab, controller: MakeController, tmp_path: Path
) -> None:
    first, second = policies()
    propose(
        tmp_path / "state",
        structs.replace(PROPOSAL, action="quarantine", target="a", addresses=("10.0.0.1",)),
    )
    network = lab(first, links=[Link(1, 9, 2, 9)])
    running = controller(network)

    def apply(text: str) -> float:
        moment = time.time()
        assert put_in_force(running, text)
        return moment

    streams = start(network, STREAMS, seconds=36)
    time.sleep(1.5)
    begun = time.time()
    time.sleep(1.0)
    changed = apply(second)
    time.sleep(1.0)
    ends = float(round(time.time()) + 13)
    moved = apply(relabelled(second, ends))
    time.sleep(1.0)
    running.kill()
    whole = running.options
    running.options = replace(whole, extra=("--analysis", "none"))  # starts at once
    running.start()
    running.wait_ready()
    back = time.time()
    time.sleep(1.0)
    running.kill()
    dead = time.time()
    assert dead < ends - 2, "the machine is too slow for this test"
    time.sleep(ends + 1.5 - time.time())
    ended = time.time()
    running.options = whole
    running.start()
    running.wait_ready()
    wait_for(lambda: bool(status(running)["analysis"]["ready"]), 10, "no analysis")
    time.sleep(0.5)  # it has said what it had to say
    quarantined = asked(running, "approve", "d1")
    time.sleep(1.0)
    freed = asked(running, "release", "d1")
    time.sleep(1.0)
    finished = time.time()
    for stream in streams.values():
        stream.finish()

    everything = set(streams)
    cut = {"removed-cut", "narrowed-cut", "denied"}
    check(streams, everything, set(), begun, changed)
    check(streams, everything - cut, cut, changed, moved)
    check(streams, everything - cut - {"relabelled"}, {*cut, "relabelled"}, moved, ends - 1.5)
    lasting = {"removed-kept", "narrowed-kept", "covered", "untouched", "ends-kept"}
    check(streams, lasting, everything - lasting, ended, quarantined)
    check(streams, set(), everything, quarantined, freed)
    check(streams, lasting, everything - lasting, freed + AT_ONCE, finished)
    assert abs(streams["ends-cut"].stopped_after(ends, ended)) < 1.0
    assert back < dead
    for name in cut:
        print(f"{name}: {1000 * streams[name].stopped_after(changed, moved):.1f} ms")


def check(
    streams: dict[str, Stream],
    alive: Collection[str],
    shut: Collection[str],
    since: float,
    until: float,
) -> None:
    stopped = [name for name in alive if not streams[name].open_between(since, until)]
    going = [name for name in shut if not streams[name].shut_between(since, until)]
    assert (stopped, going) == ([], [])

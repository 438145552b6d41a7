"""What is not where the policy has it."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address

from policies.model import Host, Policy, Segment, Selector
from policies.review.placement import (
    ConnectedSwitch,
    PlacementProblem,
    placement_problems,
    policy_switches,
    ranges,
)
from topology.records import DroppedSource

C1 = Host("c1", "00:00:00:00:00:01", (ip_address("10.0.0.1"),), 1, 1)
C2 = Host("c2", "00:00:00:00:00:02", (ip_address("10.0.0.2"),), 1, 12)
C3 = Host("c3", "00:00:00:00:00:03", (ip_address("10.0.0.3"),), 2, 1)
FREE = Host("free", "00:00:00:00:00:04", (ip_address("10.0.0.4"),))
POLICY = Policy("p", (C1, C2, C3, FREE))
ONE = ConnectedSwitch(1, frozenset(range(1, 9)))
TWO = ConnectedSwitch(2, frozenset({1, 2}))


def dropped(mac: str, switch: int, port: int, ip: str | None = None) -> DroppedSource:
    return DroppedSource(5.0, switch, port, mac, ip, "why", 3)


def found(*dropped: DroppedSource, policy: Policy = POLICY) -> tuple[PlacementProblem, ...]:
    connected = (replace(ONE, ports=ONE.ports | {12}), TWO)
    return placement_problems(policy, connected, dropped)


def test_a_switch_that_is_not_connected_is_named_with_its_hosts() -> None:
    (problem,) = placement_problems(replace(POLICY, hosts=(C1, C3)), (ONE,))
    assert (problem.kind, problem.switch, problem.hosts) == ("absent-switch", 2, ("c3",))
    assert problem.text == "switch 2 is not connected; the policy has c3 there"
    assert "0000000000000002" in problem.advice


def test_a_port_that_the_switch_does_not_have_is_named() -> None:
    (problem,) = placement_problems(POLICY, (ONE, TWO))
    assert (problem.kind, problem.port, problem.hosts) == ("absent-port", 12, ("c2",))
    expected = "switch 1 has no port 12, where the policy has c2 (its ports: 1-8)"
    assert problem.text == expected


def test_a_segment_may_name_a_switch_and_port_too() -> None:
    policy = Policy("p", segments=(Segment("s", (Selector(switch=1, port=40),)),))
    assert policy_switches(policy) == {1}
    (problem,) = placement_problems(policy, (ONE,))
    assert problem.kind == "absent-port"
    assert "members of a segment" in problem.text
    assert placement_problems(policy, ())[0].text == "switch 1 is not connected"


def test_everything_in_its_place_is_no_problem() -> None:
    assert found() == ()
    assert found(dropped("00:00:00:00:00:99", 1, 5, "10.9.9.9")) == (), "a stranger on a free port"
    assert found(dropped(C1.mac or "", 1, 1, "10.9.9.9")) == (), "its own port: the address differs"


def test_a_host_on_another_port_is_named_once() -> None:
    (problem,) = found(dropped(C2.mac or "", 1, 5), dropped(C2.mac or "", 1, 5, "10.0.0.2"))
    assert (problem.kind, problem.hosts) == ("elsewhere", ("c2",))
    assert problem.text == (
        "c2 is seen on switch 1 port 5, the policy has it on switch 1 port 12: its packets are "
        "dropped"
    )


def test_a_host_without_a_declared_place_may_be_anywhere() -> None:
    assert found(dropped(FREE.mac or "", 2, 2)) == ()


def test_another_mac_on_a_hosts_port_is_told_with_both() -> None:
    (problem,) = found(dropped("00:00:00:00:00:99", 2, 1, "10.0.0.3"))
    assert problem.kind == "other-mac"
    assert problem.text.startswith(
        "c3's declared MAC is 00:00:00:00:00:03, seen 00:00:00:00:00:99 on switch 2 port 1"
    )


def test_a_declared_host_on_the_port_of_another_is_elsewhere_and_no_other_mac() -> None:
    kinds = [each.kind for each in found(dropped(C1.mac or "", 2, 1))]
    assert kinds == ["elsewhere"]


def test_on_a_shared_port_the_address_tells_whose_mac_differs() -> None:
    shared = replace(POLICY, hosts=(C1, replace(C3, switch=1, port=1)))
    one = replace(ONE, ports=frozenset({1}))
    seen = dropped("00:00:00:00:00:99", 1, 1, "10.0.0.3")
    (problem,) = placement_problems(shared, (one,), [seen])
    assert problem.hosts == ("c3",)
    assert placement_problems(shared, (one,), [dropped("00:00:00:00:00:99", 1, 1)]) == ()


def test_ranges_are_short() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges(()) == "none"


def test_thousands_of_hosts_and_dropped_senders_are_compared_at_once() -> None:
    hosts = tuple(
        Host(f"h{n}", f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", (), n % 40 + 1, n // 40 + 1)
        for n in range(10_000)
    )
    seen = [
        dropped(f"06:00:00:00:{n >> 8:02x}:{n & 255:02x}", 1, n % 250 + 1) for n in range(1_000)
    ]
    begun = time.perf_counter()
    problems = placement_problems(Policy("p", hosts), (), seen)
    assert time.perf_counter() - begun < 2.0
    assert len(problems) == 40 + 1_000

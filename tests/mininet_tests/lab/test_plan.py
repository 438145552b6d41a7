from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mininet_tests.lab.leftovers import bridge_name, port_name, run_directory, tag_of
from mininet_tests.lab.plan import (
    LabError,
    covering_prefix,
    line,
    plan_from_policy,
    read_topology,
    topology_from,
)
from policies.model import Host, Policy

H1 = {"mac": "00:00:00:00:00:0A", "ip": ["fd00::1", "10.0.0.1"], "switch": 1, "port": 1}
H2 = {"mac": "00:00:00:00:00:0b", "ip": "10.0.0.2", "switch": 2, "port": 1}
CABLE = {"switch": 1, "port": 9, "peer_switch": 2, "peer_port": 8}


def topology(**changes: Any) -> dict[str, Any]:
    return {"kind": "LabTopology", "hosts": {"h1": H1, "h2": H2}, "links": [CABLE], **changes}


def test_a_topology_file_becomes_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "kind: LabTopology\n"
        'hosts:\n  h1: {mac: "00:00:00:00:00:0A", ip: [10.0.0.1], switch: 7, port: 3}\n'
        "switches: [9]\n"
    )
    plan = read_topology(path)
    assert plan.switches == (7, 9)
    assert plan.host("h1").mac == "00:00:00:00:00:0a"
    assert (plan.prefix4, plan.prefix6) == (16, 64)


def test_addresses_are_ordered_and_found() -> None:
    plan = topology_from(topology(), "t")
    assert plan.host("h1").ips == ("10.0.0.1", "fd00::1")
    assert plan.host("h1").ipv6 == "fd00::1"
    assert plan.host("h2").ipv6 is None
    assert plan.owner("fd00::1") == "h1"
    assert plan.owner("10.0.0.9") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "Other"}, "kind: LabTopology"),
        ({"host": {}}, "unknown key 'host'"),
        ({"hosts": {"h1": {"mac": "x"}}}, "host h1: ip is missing"),
        ({"hosts": {"h1": {**H1, "ip": "10.0.0"}}}, "host h1"),
        ({"hosts": {"h1": {**H1, "port": 0}}}, "host h1: port"),
        ({"hosts": {"h1": H1, "h2": {**H2, "mac": "00:00:00:00:00:0a"}}}, "MAC"),
        ({"hosts": {"h1": H1, "h2": {**H2, "ip": "10.0.0.1"}}}, "address 10.0.0.1"),
        ({"hosts": {"h1": H1, "h2": {**H2, "switch": 1}}}, "switch and port 1:1"),
        ({"links": [{**CABLE, "port": 1}]}, "switch and port 1:1"),
        ({"links": [{"switch": 1}]}, "link 1"),
        ({"hosts": {}, "links": []}, "nothing to build"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError) as caught:
        topology_from(topology(**changes), "lab.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("lab.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("hosts: [\n")
    for wrong in (path, tmp_path / "absent.yaml"):
        with pytest.raises(LabError) as caught:
            read_topology(wrong)
        assert "\n" not in str(caught.value)


def test_a_policy_gives_the_hosts_that_can_be_plugged_in() -> None:
    address = (ip_address("10.0.0.1"),)
    whole = Host("a", "00:00:00:00:00:01", address, 4, 1)
    nowhere = Host("b", "00:00:00:00:00:02", (ip_address("10.0.0.2"),))
    far = Host("c", "00:00:00:00:00:03", (ip_address("10.9.0.3"),), 2, 1)
    plan = plan_from_policy(Policy("p", hosts=(whole, nowhere, far)))
    assert plan.names == ("a", "c")
    assert [(k.switch, k.peer_switch) for k in plan.links] == [(2, 4)]
    assert plan.prefix4 == 12
    with pytest.raises(LabError, match="nothing to build"):
        plan_from_policy(Policy("p", hosts=(nowhere,)))


def test_a_line_uses_each_port_once() -> None:
    cables = line([5, 6, 9])
    ends = [(k.switch, k.port) for k in cables] + [(k.peer_switch, k.peer_port) for k in cables]
    assert len(set(ends)) == 4
    assert line([3]) == ()


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8), st.integers(8, 30))
def test_the_covering_prefix_covers_and_is_longest(values: list[int], longest: int) -> None:
    addresses = [str(ip_address(value)) for value in values]
    found = covering_prefix(addresses, longest)

    def networks(prefix: int) -> int:
        return len({ip_network((a, prefix), strict=False) for a in addresses})

    assert networks(found) == 1
    assert found == longest or networks(found + 1) > 1


@given(st.from_regex(r"[0-9a-z]{4}", fullmatch=True), st.integers(1, 99), st.integers(1, 9999))
def test_names_carry_their_tag_and_fit_the_kernel(tag: str, number: int, port: int) -> None:
    assert len(port_name(tag, number, port)) <= 15
    for name in (bridge_name(tag, number), port_name(tag, number, port), run_directory(tag).name):
        assert tag_of(name) == tag


@pytest.mark.parametrize("name", ["eth0", "spt", "sptabcd0", "sptabcds1p", "s1-eth1", "sptABCDs1"])
def test_names_of_others_carry_none(name: str) -> None:
    assert tag_of(name) is None

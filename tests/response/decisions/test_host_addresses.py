from __future__ import annotations

from ipaddress import ip_address, ip_network

from policies.model import Host, Policy, Segment, Selector
from policies.semantics.host_addresses import own_networks
from response.decisions.host_addresses import HostDirectory
from topology.records import Binding

MAC = "00:00:00:00:00:01"
POLICY = Policy(
    "p",
    hosts=(
        Host("web1", MAC, (ip_address("10.0.0.1"), ip_address("fd00::1"))),
        Host("gw", "00:00:00:00:00:02", (ip_address("10.0.0.254"),), routes=(ip_network("::/0"),)),
    ),
)


def test_a_declared_host_holds_declared_bound_and_link_local_addresses() -> None:
    bound = [
        Binding(MAC, "10.0.0.1", 1, 1, "web1"),
        Binding("00:00:00:00:00:0a", "10.0.0.99", 1, 1, "web1"),
    ]
    host = HostDirectory(POLICY, bound).find("10.0.0.99")
    assert host is not None
    assert (host.name, host.declared, host.routes) == ("web1", True, False)
    assert host.addresses == (
        "10.0.0.1", "fd00::1", "10.0.0.99", "fe80::200:ff:fe00:1", "fe80::200:ff:fe00:a"
    )  # fmt: skip
    assert HostDirectory(POLICY, bound).find("fe80::200:ff:fe00:a") == host


def test_a_router_is_known_as_one() -> None:
    gateway = HostDirectory(POLICY, ()).find("10.0.0.254")
    assert gateway is not None
    assert gateway.routes


def test_a_discovered_host_is_a_mac_on_a_port() -> None:
    mac = "00:00:00:00:00:77"
    directory = HostDirectory(
        POLICY,
        [
            Binding(mac, "10.0.0.77", 1, 7),
            Binding(mac, "fd00::77", 1, 7),
            Binding(mac, "10.0.0.78", 2, 7),
        ],
    )
    here, there = directory.find("fd00::77"), directory.find("10.0.0.78")
    assert here is not None and there is not None
    assert (here.name, here.declared) == ("10.0.0.77", False)
    assert here.addresses[:2] == ("10.0.0.77", "fd00::77")
    assert there.name == "10.0.0.78"


def test_a_stranger_cannot_take_a_declared_address() -> None:
    directory = HostDirectory(POLICY, [Binding("00:00:00:00:00:66", "10.0.0.1", 1, 9)])
    host = directory.find("10.0.0.1")
    assert host is not None
    assert host.name == "web1"


def test_addresses_of_nobody_are_not_found() -> None:
    assert HostDirectory(POLICY, ()).find("10.0.0.77") is None
    assert set(HostDirectory(POLICY, ()).declared()) == {"web1", "gw"}


def test_public_networks_of_the_policy_are_ours_and_everybody_is_not() -> None:
    host = Host("web", ips=(ip_address("2a02:1:2:3::7"), ip_address("10.0.0.1")))
    members = (Selector(cidr=ip_network("203.0.112.0/22")), Selector(cidr=ip_network("0.0.0.0/0")))
    policy = Policy("p", (host,), (Segment("s", members),))
    bound = Binding("00:00:00:00:00:01", "8.8.4.4", 1, 1)
    assert own_networks(policy, [bound]) == ("203.0.112.0/22", "2a02:1:2:3::/64", "8.8.4.0/24")

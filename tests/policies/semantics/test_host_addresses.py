"""All addresses of a host: declared, bound, and the link-local ones of its MACs."""

from __future__ import annotations

from ipaddress import ip_address

from policies.model import Host, Policy
from policies.semantics.host_addresses import known_hosts
from policies.semantics.membership import Membership
from topology.records import Binding

MAC = "00:00:00:00:00:01"
WEB = Host("web", MAC, (ip_address("10.0.0.1"), ip_address("fd00::1")), 1, 1)
POLICY = Policy("p", (WEB, Host("idle")))


def test_link_local_addresses_come_with_every_mac_that_is_bound() -> None:
    bound = [
        Binding(MAC, "10.0.0.1", 1, 1, "web"),
        Binding("00:00:00:00:00:0a", "10.0.0.99", 2, 3, "web"),
    ]
    web, idle = known_hosts(POLICY, bound)
    assert web.texts() == (
        "10.0.0.1", "fd00::1", "10.0.0.99", "fe80::200:ff:fe00:1", "fe80::200:ff:fe00:a"
    )  # fmt: skip
    assert web.ports == {(1, 1), (2, 3)}
    assert (idle.name, idle.texts()) == ("idle", ())


def test_what_is_bound_to_no_declared_host_is_a_host_for_each_mac_and_port() -> None:
    mac = "00:00:00:00:00:77"
    bound = [
        Binding(mac, "10.0.0.78", 1, 7),
        Binding(mac, "10.0.0.77", 1, 7, "whom no policy declares"),
        Binding(mac, "10.0.0.79", 2, 7),
        Binding(mac, "10.0.0.1", 3, 7),
    ]
    found = [host for host in known_hosts(POLICY, bound) if not host.declared]
    assert [(host.name, *host.ports) for host in found] == [
        ("10.0.0.77", (1, 7)), ("10.0.0.79", (2, 7))
    ]  # fmt: skip
    assert found[0].texts() == ("10.0.0.78", "10.0.0.77", "fe80::200:ff:fe00:77")


def test_a_membership_knows_the_same_hosts() -> None:
    bound = (Binding("00:00:00:00:00:77", "10.0.0.77", 1, 7),)
    assert list(Membership(POLICY, bound).hosts) == known_hosts(POLICY, bound)

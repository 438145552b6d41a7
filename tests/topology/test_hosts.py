"""Bindings: what discovery may learn, and what it must call a spoof."""

from topology.addresses import link_local
from topology.hosts import (
    MAX_PER_PORT,
    ExpectedHost,
    HostTable,
)
from topology.records import Binding

WEB = Binding("00:00:00:00:00:01", "10.0.0.1", 1, 1, "web")


def table() -> HostTable:
    return HostTable(declared=(WEB,))


def test_a_known_binding_is_neither_news_nor_spoof() -> None:
    seen = table().check_source(WEB.mac, WEB.ip, 1, 1)
    assert (seen.learned, seen.spoof) == (None, None)


def test_a_stranger_on_a_free_port_is_learned_once() -> None:
    hosts = table()
    learned = hosts.check_source("00:00:00:00:00:09", "10.0.0.9", 1, 5).learned
    assert learned == Binding("00:00:00:00:00:09", "10.0.0.9", 1, 5)
    assert hosts.check_source("00:00:00:00:00:09", "10.0.0.9", 1, 5).learned is None
    assert learned in hosts.bindings()


def test_a_declared_address_elsewhere_is_a_spoof() -> None:
    seen = table().check_source("00:00:00:00:00:09", "10.0.0.1", 1, 5)
    assert seen.spoof == "10.0.0.1 belongs to web on switch 1 port 1"


def test_a_declared_mac_elsewhere_is_a_spoof() -> None:
    assert table().check_source(WEB.mac, "10.0.0.77", 2, 5).spoof is not None


def test_a_declared_hosts_port_takes_no_invented_hosts() -> None:
    seen = table().check_source("00:00:00:00:00:66", "10.0.0.66", 1, 1)
    assert seen.spoof == f"web's declared MAC is {WEB.mac}, seen 00:00:00:00:00:66"


def test_a_declared_host_with_another_mac_or_address_is_named_as_that() -> None:
    other = table().check_source("00:00:00:00:00:66", "10.0.0.1", 1, 1)
    assert other.spoof == f"web's declared MAC is {WEB.mac}, seen 00:00:00:00:00:66"
    moved = table().check_source(WEB.mac, "10.0.0.66", 1, 1)
    assert moved.spoof == "web is declared with 10.0.0.1, seen 10.0.0.66"


def test_a_port_of_a_host_whose_mac_is_not_declared_names_the_host() -> None:
    hosts = HostTable(expected=(ExpectedHost("db", ips=("10.0.0.3",), switch=1, port=4),))
    seen = hosts.check_source("00:00:00:00:00:66", "10.0.0.66", 1, 4)
    assert seen.spoof == "port belongs to declared host db"


def test_a_discovered_host_moves_only_when_its_old_port_is_down() -> None:
    hosts = table()
    mac, ip = "00:00:00:00:00:09", "10.0.0.9"
    hosts.check_source(mac, ip, 1, 5)
    assert hosts.check_source(mac, ip, 2, 6).spoof is not None
    hosts.down.add((1, 5))
    moved = hosts.check_source(mac, ip, 2, 6)
    assert moved.learned == Binding(mac, ip, 2, 6)
    assert [each.port for each in hosts.bindings() if each.mac == mac] == [6]


def test_a_declared_host_without_a_place_is_found() -> None:
    hosts = HostTable(expected=(ExpectedHost("db", mac="00:00:00:00:00:03", ips=("10.0.0.3",)),))
    assert hosts.check_source("00:00:00:00:00:03", "10.0.0.3", 4, 2).learned == Binding(
        "00:00:00:00:00:03", "10.0.0.3", 4, 2, "db"
    )


def test_one_port_cannot_fill_the_tables() -> None:
    hosts = HostTable()
    for number in range(MAX_PER_PORT + 5):
        hosts.check_source(f"00:00:00:00:01:{number:02x}", f"10.0.1.{number}", 1, 1)
    assert len(hosts.bindings()) == MAX_PER_PORT


def test_a_new_policy_takes_its_address_from_a_discovered_host() -> None:
    hosts = HostTable()
    hosts.check_source("00:00:00:00:00:09", "10.0.0.1", 1, 5)
    hosts.declare([WEB], [])
    assert hosts.bindings() == (WEB,)


def test_nobody_takes_the_link_local_address_of_another_mac() -> None:
    """Neither a declared host's, nor one's that has not been seen yet."""
    for victim in (WEB.mac, "00:00:00:00:00:77"):
        seen = table().check_source("00:00:00:00:00:09", str(link_local(victim)), 1, 5)
        assert seen.spoof == f"{link_local(victim)} is the link-local address of {victim}"
    own = str(link_local("00:00:00:00:00:09"))
    assert table().check_source("00:00:00:00:00:09", own, 1, 5).learned is not None
    assert table().check_source("00:00:00:00:00:09", "fe80::1", 1, 5).learned is not None


def test_a_server_binds_an_address_to_where_its_host_is() -> None:
    table = HostTable(declared=(Binding("02:00:00:00:00:01", "10.0.0.1", 1, 1, "web"),))
    assert table.assign("02:00:00:00:00:09", "10.0.1.9").learned is None, "nobody with this MAC"
    given = table.assign("02:00:00:00:00:01", "10.0.1.1").learned
    assert given == Binding("02:00:00:00:00:01", "10.0.1.1", 1, 1, "web")
    table.check_source("02:00:00:00:00:02", "fe80::ff:fe00:2", 1, 2)
    table.check_source("02:00:00:00:00:03", "10.0.1.3", 1, 3)
    moved = table.assign("02:00:00:00:00:02", "10.0.1.3").learned
    assert moved is not None and (moved.switch, moved.port) == (1, 2), "a lease that ended"
    assert table.check_source("02:00:00:00:00:03", "10.0.1.3", 1, 3).spoof is not None
    assert table.assign("02:00:00:00:00:02", "10.0.0.1").spoof is not None, "declared elsewhere"
    again = HostTable(declared=table.declared)
    again.restore(table.discovered.values())
    assert given in again.bindings()


def test_a_switch_that_connects_says_which_ports_have_a_link() -> None:
    hosts = table()
    hosts.port_down((2, 1))
    hosts.links_of(2, (1, 2), {2})
    assert hosts.down == {(2, 2)}

"""Hosts on real switches: leases, servers that nobody declared, moves, and borrowed identities."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.controlled import controlled
from mininet_tests.experiments.outage import TALK
from mininet_tests.lab.controller import Controller
from mininet_tests.lab.lab import Lab, RunningHost
from response.state.store import Store
from tests.support.live.asking import opens
from tests.support.live.frames import arp, catch, caught, four, mac, send, six, tcp, udp
from topology.records import Link

LEASE = str(Path(__file__).resolve().parents[1] / "traffic" / "lease.py")
LINKS = (Link(1, 9, 2, 9),)
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: hosts}
hosts:
  srv: {mac: "02:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1, serves: [dhcp, ra]}
  web: {mac: "02:00:00:00:00:02", ip: [10.0.0.2, "fd00::2"], switch: 1, port: 2, labels: {at: web}}
  pc: {mac: "02:00:00:00:00:03", ip: [10.0.0.3, "fd00::3"], switch: 2, port: 1, labels: {at: desk}}
  new: {mac: "02:00:00:00:00:04", ip: [10.0.0.4, "fd00::4"], switch: 2, port: 2}
  bad: {mac: "02:00:00:00:00:05", ip: [10.0.0.5, "fd00::5"], switch: 2, port: 3}
segments:
  web: {members: [{labels: {at: web}}], mode: enforce}
  desks: {members: [{labels: {at: desk}}, {cidr: 10.0.1.0/24}], mode: enforce}
intents:
  - {name: desks-browse, from: desks, to: web, services: [tcp/80]}
defaults: {action: deny, mode: enforce}
"""
# What the controller is told: one host without an address, another not at all.
KNOWN = "\n".join(
    line.replace('ip: [10.0.0.3, "fd00::3"], ', "")
    for line in POLICY.splitlines()
    if not line.startswith("  new:")
)


def hosts_known(controller: Controller) -> dict[str, tuple[int, int, str | None]]:
    found = ask_controller(controller.options.state, {"do": "status"})["hosts"]
    return {each["ip"]: (each["switch"], each["port"], each.get("host")) for each in found}


def spoofs(controller: Controller) -> str:
    """Everything that was reported, after the controller has written it down."""
    controller.stop()
    store = Store.open(controller.options.state, time.time())
    found = [str(entry.data) for entry in store.audit_entries() if entry.kind == "spoof"]
    store.close()
    return "\n".join(found)


def ask(lab: Lab, name: str) -> str:
    lab.host(name).run(["ip", "addr", "flush", "dev", "eth0", "scope", "global"])
    done = lab.host(name).run([sys.executable, LEASE, "eth0", "8"], timeout=12)
    address = done.stdout.strip()
    if address:
        lab.host(name).run(["ip", "addr", "add", f"{address}/16", "dev", "eth0"])
    return address


def icmp6(source: int, target: str, sender: str, body: str) -> str:
    head = f"60000000{len(body) // 2:04x}3aff{sender}{six(2)}"
    return target + mac(source) + "86dd" + head + body


BOOTP = "02010600" + "0" * 24 + four(254) + "0" * 16 + mac(3) + "0" * 404 + "63825363350102ff"
LINK_LOCAL = "fe80000000000000000000fffe000005"


@pytest.mark.timeout(150)
def test_leases_come_from_declared_servers_and_are_bound_before_they_are_used() -> None:
    ranges = "--dhcp-range=10.0.1.100,10.0.1.120,255.255.0.0,2m"
    dnsmasq = ["dnsmasq", "-k", "--port=0", "--interface=eth0", "--bind-dynamic", "--no-ping"]
    dnsmasq += ["--leasefile-ro", "--pid-file=", "--conf-file=/dev/null", "-u", "root", ranges]
    dnsmasq += ["--dhcp-range=fd00::,ra-only", "--enable-ra", "--ra-param=eth0,high,4"]
    with controlled(POLICY, LINKS, run_on=KNOWN) as (lab, controller):
        lab.host("srv").start(dnsmasq)
        lab.host("web").start([sys.executable, TALK, "answer", "10.0.0.2", "80"])
        seen = {name: catch(lab.host(name), 12, "all") for name in ("web", "bad")}
        heard = catch(lab.host("pc"), 12, "ip6")
        declared, found = ask(lab, "pc"), ask(lab, "new")
        assert declared.startswith("10.0.1.") and found.startswith("10.0.1.")
        known = hosts_known(controller)
        assert known[declared] == (2, 1, "pc") and known[found] == (2, 2, None)
        assert opens(lab.host("pc")) and opens(lab.host("new")), "the lease's network is a segment"
        offer = udp(5, four(5), "00430044", BOOTP)
        send(lab.host("bad"), offer, icmp6(5, "333300000001", LINK_LOCAL, "86000000" + "0" * 24))
        advertised = [f for f in caught(heard) if f[108:110] == "86"]
        assert advertised and all(f[12:24] == "020000000001" for f in advertised)
        for frames in map(caught, seen.values()):
            asked = [f for f in frames if f[68:76] == "00440043"]
            assert not asked, "requests reach the server alone"
            assert not [f for f in frames if f[68:76] == "00430044" and f[12:24] != "020000000001"]
        said = spoofs(controller)
        assert "offers addresses" in said and "advertises itself as a router" in said


@pytest.mark.timeout(120)
def test_borrowed_identities_are_dropped_and_reported() -> None:
    """Raw frames from a host's own port: MAC, IPv4, IPv6, ARP, advertisements, a silent server."""
    with controlled(POLICY, LINKS) as (lab, controller):
        bad, web = lab.host("bad"), lab.host("web")
        seen = catch(web, 5, "all")
        told = "88000000600000 00{}0201{}".replace(" ", "")
        frames = {
            "MAC": tcp(3, four(3)),
            "IPv4": tcp(5, four(3)),
            "IPv6": icmp6(5, mac(2), six(3), "8000000000010001"),
            "ARP address": arp(5, mac(5), four(3), four(2)),
            "ARP hardware": arp(5, mac(3), four(5), four(2)),
            "announced": icmp6(5, mac(2), six(5), told.format(six(3), mac(5))),
            "announcing": icmp6(5, mac(2), six(3), told.format(six(5), mac(5))),
        }
        honest = arp(5, mac(5), four(5), four(2))
        send(bad, honest)
        send(bad, *frames.values())
        arrived = caught(seen)
        assert [each for each in arrived if each.startswith(honest)]
        for what, frame in frames.items():
            assert not [each for each in arrived if each.startswith(frame)], what
        said = spoofs(controller)
        for ip in ("10.0.0.3 belongs to pc", "fd00::3 belongs to pc", "ARP in the name of"):
            assert ip in said, said


@pytest.mark.timeout(120)
def test_a_host_moves_when_its_old_port_is_silent_and_not_before() -> None:
    """Both are found by their packets; then ``bad`` takes the identity of ``new``."""
    known = "\n".join(line for line in KNOWN.splitlines() if not line.startswith("  bad:"))
    known = known.replace("10.0.1.0/24", "10.0.0.4/32")
    with controlled(POLICY, LINKS, run_on=known) as (lab, controller):
        new, bad = lab.host("new"), lab.host("bad")
        lab.host("web").start([sys.executable, TALK, "answer", "10.0.0.2", "80"])
        time.sleep(0.5)
        assert opens(new) and not opens(bad)
        assert hosts_known(controller)["10.0.0.4"][:2] == (2, 2)
        rename(bad, "02:00:00:00:00:04", "10.0.0.4")
        assert not opens(bad), "the old port answers"
        assert opens(new), "and keeps its place"
        assert hosts_known(controller)["10.0.0.4"][:2] == (2, 2)
        # Its link stays up, but nobody with that MAC is there any more.
        rename(new, "02:00:00:00:00:44", "10.0.0.44")
        time.sleep(5.5)
        until = time.monotonic() + 6
        while not (moved := opens(bad)) and time.monotonic() < until:
            pass
        assert moved and hosts_known(controller)["10.0.0.4"][:2] == (2, 3)
        # A port without a link needs no question.
        assert bad.run(["ip", "link", "set", "eth0", "down"]).ok
        rename(new, "02:00:00:00:00:04", "10.0.0.4")
        assert opens(new) and hosts_known(controller)["10.0.0.4"][:2] == (2, 2)
        assert "still answers on switch 2 port 2" in spoofs(controller)


def rename(host: RunningHost, mac: str, ip: str) -> None:
    script = f"ip addr flush dev eth0; ip link set eth0 address {mac}; ip addr add {ip}/16 dev eth0"
    assert host.run(["sh", "-ec", script]).ok

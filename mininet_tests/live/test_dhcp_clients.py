"""DHCP on real switches, with a real server: a host speaks for itself and for nobody else."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from console.clients.controller import ask_controller
from mininet_tests.experiments.controlled import controlled
from mininet_tests.lab.lab import Lab
from response.state.store import Store
from tests.support.dhcp_frames import asking, wants
from tests.support.live.frames import catch, caught, send
from topology.records import Link

LEASE = str(Path(__file__).resolve().parents[1] / "traffic" / "lease.py")
POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: leases}
hosts:
  srv: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, serves: [dhcp]}
  pc: {mac: "02:00:00:00:00:03", switch: 2, port: 1}
  bad: {mac: "02:00:00:00:00:05", ip: [10.0.0.5], switch: 2, port: 3}
segments:
  all: {members: [{cidr: 10.0.0.0/16}], mode: enforce}
intents:
  - {name: all, from: all, to: all, services: [any]}
defaults: {action: deny, mode: enforce}
"""
LAB = POLICY.replace('0:03", switch', '0:03", ip: [10.0.0.3], switch')
BAD, PC = "02:00:00:00:00:05", "02:00:00:00:00:03"


def lease(lab: Lab) -> str:
    lab.host("pc").run(["ip", "addr", "flush", "dev", "eth0", "scope", "global"])
    done = lab.host("pc").run([sys.executable, LEASE, "eth0", "8"], timeout=12)
    return done.stdout.strip()


@pytest.mark.threat("dhcp-clients")
@pytest.mark.timeout(120)
def test_a_lease_is_ended_and_asked_for_by_its_holder_alone() -> None:
    """The attacks of SecureBinder, by broadcast and to the server's own address, where the policy
    allows everything between the two."""
    server = ["dnsmasq", "-k", "--port=0", "--interface=eth0", "--bind-dynamic", "--no-ping"]
    server += ["--leasefile-ro", "--pid-file=", "--conf-file=/dev/null", "-u", "root"]
    server += ["--dhcp-range=10.0.1.100,10.0.1.120,255.255.0.0,2m"]
    with controlled(LAB, (Link(1, 9, 2, 9),), run_on=POLICY) as (lab, controller):
        state = controller.options.state
        lab.host("srv").start(server)
        given = lease(lab)
        assert given.startswith("10.0.1."), "what a client says of itself comes through"
        held = ask_controller(state, {"do": "status"})["hosts"]
        assert [(h["switch"], h["port"]) for h in held if h["ip"] == given] == [(2, 1)]
        heard = catch(lab.host("srv"), 3, "udp")
        to_all = [
            asking(7, BAD, chaddr=PC, ciaddr=given, source="10.0.0.5"),
            asking(7, BAD, ciaddr=given, source="10.0.0.5"),
            asking(3, BAD, options=wants(given)),
            asking(1, BAD, chaddr=PC),
            asking(1, BAD, options=b"\x3d\x07\x01" + bytes.fromhex(PC.replace(":", ""))),
        ]
        server_mac = bytes.fromhex("020000000001")
        to_it = [
            server_mac + frame[6:30] + bytes([10, 0, 0, 1]) + frame[34:]
            for port in (68, 1068)
            for frame in (asking(7, BAD, ciaddr=given, source="10.0.0.5", port=port),)
        ]
        honest = asking(1, BAD, source="10.0.0.5")
        send(lab.host("bad"), *(frame.hex() for frame in (*to_all, *to_it)), honest.hex())
        arrived = [each for each in caught(heard) if each[12:24] == BAD.replace(":", "")]
        assert len(arrived) == 1 and arrived[0].startswith(honest.hex()), "the honest one alone"
        assert lease(lab) == given, "the server has it still as it was"
        controller.stop()
        store = Store.open(state, time.time())
        told = str([each.data for each in store.audit_entries() if each.kind == "spoof"])
        store.close()
        assert f"DHCP in the name of {PC}" in told and f"gives up {given}" in told

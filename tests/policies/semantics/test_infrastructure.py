"""DHCP and neighbour discovery are judged as the switches treat them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from policies.model import DHCP, Action, Connection, Defaults, Host, Infrastructure, Policy
from policies.semantics.infrastructure import InfrastructureRules

SERVER = Host("dhcp1", ips=(ip_address("10.0.9.67"), ip_address("fe80::67")), serves=(DHCP,))
POLICY = Policy("p", hosts=(SERVER, Host("a", ips=(ip_address("10.0.1.1"),))))
ALLOW, DENY = Action.ALLOW, Action.DENY


def action(policy: Policy, src: str, dst: str, proto: int, port: int) -> Action | None:
    connection = Connection(ip_address(src), ip_address(dst), proto, port)
    return InfrastructureRules(policy).action(connection)


CASES = [
    ("0.0.0.0", "255.255.255.255", 17, 67, ALLOW),
    ("10.0.1.1", "255.255.255.255", 17, 67, ALLOW),
    ("fe80::1", "ff02::1:2", 17, 547, ALLOW),
    ("10.0.9.67", "255.255.255.255", 17, 68, ALLOW),
    ("10.0.1.1", "255.255.255.255", 17, 68, DENY),  # an offer of nobody who may
    ("fe80::1", "ff02::1:ff00:1", 58, 135, ALLOW),
    ("fd00::1", "fd00::2", 58, 136, ALLOW),
    ("10.0.1.1", "10.0.9.67", 17, 67, None),  # a renewal
    ("10.0.1.1", "255.255.255.255", 17, 5000, None),
    ("10.0.1.1", "255.255.255.255", 6, 67, None),
    ("fd00::1", "fd00::2", 58, 128, None),
    ("10.0.1.1", "224.0.0.251", 17, 5353, None),
]


@pytest.mark.parametrize(("src", "dst", "proto", "port", "expected"), CASES)
def test_what_switches_answer(
    src: str, dst: str, proto: int, port: int, expected: Action | None
) -> None:
    assert action(POLICY, src, dst, proto, port) is expected
    off = replace(POLICY, defaults=Defaults(infrastructure=Infrastructure(DENY, DENY, DENY)))
    assert action(off, src, dst, proto, port) is (None if expected is None else DENY)


def test_without_a_server_a_request_goes_nowhere() -> None:
    nobody = replace(POLICY, hosts=POLICY.hosts[1:])
    assert action(nobody, "0.0.0.0", "255.255.255.255", 17, 67) is DENY

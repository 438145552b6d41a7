"""Single words of a policy: the forms in which people write them, and what they meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language import scalars
from policies.language.assigned_services import ASSIGNED
from policies.model import Service

RIGHT = "02:00:5e:00:01:0a"


@pytest.mark.parametrize(
    "text",
    ["02:00:5E:00:01:0A", "02-00-5e-00-01-0a", "0200.5e00.010a", "0200-5e00-010a", "0200:5e00:010a",
     "02005e00010a", "02005e-00010a", "02005E:00010A", "2:0:5e:0:1:a", "02.00.5e.00.01.0a"],
)  # fmt: skip
def test_a_mac_in_the_forms_of_all_vendors(text: str) -> None:
    assert scalars.mac(text) == RIGHT


@pytest.mark.parametrize(
    "text",
    ["02005e00010", "02005e00010a0", "02:00:5e-00:01:0a", "2.00E+11", "web1", "", "1:2:3:4:5"],
)
def test_what_is_no_mac_names_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="write 00:00:00:00:01:11, .* or 000000000111"):
        scalars.mac(text)


@given(st.integers(1, 2**48 - 1).filter(lambda number: not number >> 40 & 1))
def test_every_form_of_a_mac_is_the_same_mac(number: int) -> None:
    digits = f"{number:012x}"
    pairs = [digits[i : i + 2] for i in range(0, 12, 2)]
    forms = [":".join(pairs), "-".join(pairs), digits, ":".join(f"{int(p, 16):x}" for p in pairs)]
    assert {scalars.mac(form) for form in forms} == {":".join(pairs)}


@pytest.mark.parametrize(
    ("text", "right"),
    [("::ffff:192.0.2.0/120", "192.0.2.0/24"), ("::ffff:0:0/96", "0.0.0.0/0"),
     ("::ffff:192.0.2.7", "192.0.2.7/32"), ("::FFFF:C000:0207/128", "192.0.2.7/32")],
)  # fmt: skip
def test_ipv4_written_as_ipv6_is_refused_with_what_is_right(text: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"write '{right}'"):
        scalars.network(text)


def test_a_mapped_address_too() -> None:
    with pytest.raises(ValueError, match="write '192.0.2.7'"):
        scalars.address("::ffff:192.0.2.7")


@pytest.mark.parametrize("text", ["::/0", "::/64", "2001:db8::/32", "::ffff:0:0:0/96"])
def test_other_ipv6_networks_are_none_of_these(text: str) -> None:
    assert str(scalars.network(text)) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [("443", "tcp/443"), ("8000-8010", "tcp/8000-8010"), ("443/tcp", "tcp/443"),
     ("53/udp", "udp/53"), ("tcp:22", "tcp/22"), ("tcp22", "tcp/22"), ("UDP 53", "udp/53"),
     ("ipv6-icmp", "icmpv6"), ("icmp6", "icmpv6"),
     ("ipv6-icmp/echo-request", "icmpv6/echo-request"),
     ("igmp", "ip/2"), ("gre", "ip/47"), ("all", "any"), ("web", None), ("tcp/22", None)],
)  # fmt: skip
def test_the_service_that_was_meant(text: str, meant: str | None) -> None:
    assert scalars.service_meant(text) == meant
    if meant is not None:
        scalars.service(meant)


def test_built_in_services_are_no_literals_and_in_order() -> None:
    assert list(ASSIGNED) == sorted(ASSIGNED)
    assert not any(scalars.is_literal(name) for name in ASSIGNED)
    assert ASSIGNED["https"] == (Service(6, 443, 443),)

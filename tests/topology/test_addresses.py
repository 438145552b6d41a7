"""What addresses are by themselves."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.addresses import (
    is_bindable,
    is_group,
    is_host_mac,
    link_local,
    link_local_number,
    looks_like_group,
    mac_number,
    mac_of_link_local,
    mac_text,
)

macs = st.integers(0, (1 << 48) - 1)


@given(macs)
def test_a_link_local_address_names_its_mac(number: int) -> None:
    mac = mac_text(number)
    assert mac_number(mac) == number
    assert link_local(mac) == IPv6Address(link_local_number(number))
    assert link_local(mac).is_link_local
    assert mac_of_link_local(str(link_local(mac))) == mac


def test_the_example_of_the_rfc() -> None:
    """RFC 4291, appendix A: the universal bit is inverted and ``fffe`` comes in between."""
    assert str(link_local("34:56:78:9a:bc:de")) == "fe80::3656:78ff:fe9a:bcde"
    assert mac_of_link_local("fe80::1") is None
    assert mac_of_link_local("fd00::200:ff:fe00:111") is None
    assert mac_of_link_local("10.0.0.1") is None


def test_addresses_that_belong_to_nobody() -> None:
    for ip in ("0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "127.0.0.1"):
        assert not is_bindable(ip)
    assert is_bindable("10.0.0.1") and is_bindable("fe80::1") and not is_bindable(None)


def test_macs_that_belong_to_nobody() -> None:
    for mac in ("00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"):
        assert not is_host_mac(mac)
    assert is_host_mac("02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("ip", "group", "seems"),
    [
        ("224.0.0.251", True, True),
        ("ff02::1", True, True),
        ("255.255.255.255", True, True),
        ("10.1.2.255", False, True),
        ("10.1.2.3", False, False),
        ("fd00::255", False, False),
    ],
)
def test_addresses_of_groups(ip: str, group: bool, seems: bool) -> None:
    assert is_group(ip_address(ip)) is group
    assert looks_like_group(ip) is seems


def test_what_is_no_address_is_no_group() -> None:
    assert not looks_like_group("00:11:22:33:44:55")

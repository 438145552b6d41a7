"""Which networks are ours."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from topology.home_networks import home_networks, is_private


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.1.2.3", True),
        ("100.64.0.9", True),
        ("169.254.1.1", True),
        ("172.32.0.1", False),
        ("fd00::1", True),
        ("fe80::1", True),
        ("203.0.113.5", False),
        ("2001:db8::1", False),
        ("8.8.8.8", False),
    ],
)
def test_private_addresses(text: str, private: bool) -> None:
    assert is_private(ip_address(text)) is private


def test_a_network_is_private_when_all_of_it_is() -> None:
    assert is_private(ip_network("10.0.0.0/8")) and is_private(ip_network("192.168.7.0/24"))
    assert not is_private(ip_network("192.0.0.0/8")) and not is_private(ip_network("0.0.0.0/0"))


def found(*pairs: tuple[str, str], most: int = 8, least: float = 0.0) -> list[str]:
    ends = [(ip_address(one), ip_address(other), 1) for one, other in pairs]
    return [str(each) for each in home_networks(ends, len(ends), most, least)]


def test_the_network_that_nearly_every_connection_has_an_end_in_is_ours() -> None:
    border = [("147.32.80.1", f"{20 + n}.1.2.3") for n in range(30)]
    assert found(*border) == ["147.32.0.0/16"]
    six = [("2a02:1:2::7", f"2a{n}0::1") for n in range(1, 9)]
    assert found(*six) == ["2a02:1:2::/48"]
    assert found(*border, *six) == ["147.32.0.0/16", "2a02:1:2::/48"]
    assert found(*border, *six, most=1) == ["147.32.0.0/16"]
    assert found(*border, *six, most=8, least=0.5) == ["147.32.0.0/16"]


def test_whom_everybody_talks_to_is_not_ours() -> None:
    """A connection with a private end is recorded there, however popular the other end is."""
    assert found(*[(f"10.0.0.{n}", "8.8.8.8") for n in range(1, 60)]) == []
    assert found(*[("66.63.1.1", "ff02::1"), ("66.63.1.1", "224.0.0.1")] * 30) == []

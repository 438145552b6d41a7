"""Lists of prefixes: the fewest with the same addresses, found again, kept as bytes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import Network
from policies.semantics.prefix_sets import number_of
from policies.semantics.prefixes import Listed, fewest, packed, prefix_of, unpacked

four: st.SearchStrategy[Network] = st.builds(
    lambda number, length: IPv4Network((number << 24 | 0x0A000000, length), strict=False),
    st.integers(0, 7),
    st.integers(4, 12),
) | st.builds(
    lambda number, length: IPv4Network((number, length), strict=False),
    st.integers(0, 63),
    st.integers(26, 32),
)
six: st.SearchStrategy[Network] = st.builds(
    lambda number, length: IPv6Network((number, length), strict=False),
    st.integers(0, 63),
    st.integers(120, 128),
)
networks: st.SearchStrategy[list[Network]] = st.lists(st.one_of(four, six), max_size=30)


@given(networks)
def test_the_fewest_prefixes_are_what_the_standard_library_finds(given: list[Network]) -> None:
    wanted: list[Network] = [
        *collapse_addresses(each for each in given if isinstance(each, IPv4Network)),
        *collapse_addresses(each for each in given if isinstance(each, IPv6Network)),
    ]
    found = fewest(map(prefix_of, given))
    assert list(found) == [prefix_of(each) for each in wanted]
    assert fewest(found) == found
    assert unpacked(packed(found)) == found


@given(networks, st.integers(0, 70))
def test_an_address_is_listed_when_a_network_holds_it(given: list[Network], number: int) -> None:
    listed = Listed(fewest(map(prefix_of, given)))
    for address in (IPv4Address(number), IPv6Address(number)):
        assert (listed.find(number_of(address)) is not None) == any(
            address in each for each in given if each.version == address.version
        )


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1", b"\0\0\0\0\1", b"\0\0\0\1\0\0\0\0\x40"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no list of prefixes"):
        unpacked(data)

from __future__ import annotations

import pytest

from policies.rules.fields import FIELDS, FieldKind, spelling_of, width_of
from policies.rules.ovs_text import field_text
from policies.rules.rule import Field


def test_fields_have_numbers_and_spellings_of_their_own() -> None:
    assert len({field.matched for field in FIELDS.values()}) == len(FIELDS)
    assert len({field.written for field in FIELDS.values()}) == len(FIELDS)
    assert len({field.spelling for field in FIELDS.values()}) == len(FIELDS)


def test_a_width_is_what_the_kind_of_value_needs() -> None:
    sizes = {FieldKind.MAC: 48, FieldKind.IPV4: 32, FieldKind.IPV6: 128, FieldKind.FRAGMENT: 8}
    for field in FIELDS.values():
        assert field.width == sizes.get(field.kind, field.width)
        assert field.width % 8 == 0


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("eth_type", "NXM_OF_ETH_TYPE"),
        ("vlan_vid", "OXM_OF_VLAN_VID"),
        ("ipv6_src", "NXM_NX_IPV6_SRC"),
        ("xxreg2", "NXM_NX_XXREG2"),
        ("nd_target", "OXM_OF_IPV6_ND_TARGET"),
        ("tun_id", "NXM_NX_TUN_ID"),
    ],
)
def test_the_spelling_in_actions_is_open_vswitchs(name: str, spelling: str) -> None:
    assert spelling_of(name) == spelling


def test_a_field_that_is_not_listed_is_a_number() -> None:
    assert width_of("tun_id") == 16
    assert field_text(Field("tun_id", 7, 15)) == "tun_id=7/15"

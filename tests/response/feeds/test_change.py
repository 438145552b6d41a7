"""How much a feed may change without a person's word."""

from __future__ import annotations

import pytest

from policies.model import Feed
from response.feeds.change import ChangesTooMuch, check_change, source_change

pytestmark = pytest.mark.threat("feed-limits")
FEED = Feed("f", "p", "cidr-list", max_change=0.5)


def entries(first: int, count: int) -> bytes:
    return "\n".join(
        f"9.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(first, first + count)
    ).encode()


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ((0, 1_200), (0, 1_200), 0.0),
        ((0, 1_200), (0, 1_800), 0.5),
        ((0, 2_000), (1_000, 2_000), 0.5),
        ((0, 1_200), (5_000, 1_200), 1.0),
        ((0, 10), (0, 2_000), 199.0),
    ],
)
def test_the_larger_of_what_comes_and_goes_counts(
    before: tuple[int, int], after: tuple[int, int], share: float
) -> None:
    old, new = entries(*before), entries(*after)
    assert source_change(old, new, "cidr-list").share == share
    if share <= 0.5:
        check_change(old, new, FEED)
    else:
        with pytest.raises(ChangesTooMuch, match="septum feeds accept f"):
            check_change(old, new, FEED)


def test_a_small_feed_may_change_as_it_likes() -> None:
    check_change(entries(0, 900), entries(5_000, 900), FEED)


def test_another_service_of_an_address_is_another_entry() -> None:
    change = source_change(b"9.9.9.9:443", b"9.9.9.9:80", "cidr-list")
    assert (change.added, change.removed) == (1, 1)

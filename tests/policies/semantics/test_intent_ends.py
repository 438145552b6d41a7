from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.model import ANY, INTENT_TIERS, UNKNOWN, Action, Tier
from policies.semantics.intent_ends import (
    EndIndex,
    contains,
    includes,
    includes_all,
    names_of,
    segments_in,
)
from policies.semantics.precedence import AFTER_ADAPTIVE, rank_of

SEGMENTS = ("db", "ops", "web")
ENDS = st.lists(st.sampled_from((ANY, UNKNOWN, *SEGMENTS)), min_size=1, unique=True).map(tuple)
SETS = st.frozensets(st.sampled_from(SEGMENTS))


@given(ENDS, SETS)
def test_an_end_includes_who_is_in_one_of_its_segments_or_in_none(
    end: tuple[str, ...], segments: frozenset[str]
) -> None:
    stranger = not segments and "unknown" in end
    assert includes(end, segments) == ("any" in end or stranger or bool(segments & set(end)))


@given(st.lists(ENDS, max_size=6), SETS)
def test_an_index_reads_every_end_as_one_end_is_read(
    ends: list[tuple[str, ...]], segments: frozenset[str]
) -> None:
    index = EndIndex(ends)
    found = index.including(segments)
    assert [found >> place & 1 for place in range(len(ends))] == [
        includes(end, segments) for end in ends
    ]
    for place, end in enumerate(ends):
        index.discard(end, 1 << place)
    assert index.including(segments) == 0


@given(st.lists(ENDS, max_size=6), ENDS, st.frozensets(SETS, min_size=1))
def test_ends_meet_where_some_address_is_in_both(
    ends: list[tuple[str, ...]], other: tuple[str, ...], identities: frozenset[frozenset[str]]
) -> None:
    together: dict[str, set[str]] = {}
    for identity in identities:
        for name in identity:
            together.setdefault(name, set()).update(identity)
    found = EndIndex(ends).meeting(other, together)
    for place, end in enumerate(ends):
        if any(includes(end, each) and includes(other, each) for each in identities):
            assert includes_all(other) or found >> place & 1


@given(ENDS, ENDS, SETS)
def test_an_end_that_contains_another_includes_all_that_it_does(
    wide: tuple[str, ...], narrow: tuple[str, ...], segments: frozenset[str]
) -> None:
    if contains(wide, narrow) and includes(narrow, segments):
        assert includes(wide, segments)


def test_segments_of_an_end_are_none_where_it_is_everybody() -> None:
    assert segments_in(("web", UNKNOWN)) == {"web"}
    assert segments_in(("web", ANY)) == frozenset()
    assert names_of(frozenset({"web"})) == (ANY, "web")


def test_tiers_have_one_order() -> None:
    assert sorted(Tier, key=lambda tier: tier.rank) == list(Tier)
    assert INTENT_TIERS == (Tier.EMERGENCY, *AFTER_ADAPTIVE)
    assert Tier.EMERGENCY.rank < Tier.ADAPTIVE.rank < AFTER_ADAPTIVE[0].rank
    assert rank_of(Tier.SECURITY, Action.ALLOW) < rank_of(Tier.APPLICATION, Action.DENY)
    assert rank_of(Tier.SECURITY, Action.DENY) < rank_of(Tier.SECURITY, Action.ALLOW)

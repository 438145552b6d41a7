"""What was lost, in words."""

from __future__ import annotations

from console.views.lost_in_words import losses_in_words


def test_losses_are_words_in_one_and_many() -> None:
    assert losses_in_words({"stragglers": 1, "records": 0, "starts_forgotten": 2_000}) == [
        "1 late packet of an ended connection, denied and not listed as an attempt",
        "2,000 open connections no longer followed, to make room",
    ]
    assert losses_in_words({"records": 0}) == []


def test_a_kind_without_words_keeps_its_name() -> None:
    assert losses_in_words({"new_kind": 3}) == ["3 new kind"]

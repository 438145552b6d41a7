"""What in the adaptive tier decided about a copied packet: a machine decision, or a feed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from policies.rules import layout
from policies.rules.layout import name_number
from policies.rules.rule import Bits
from response.decision import Decision, id_of


def bits(fields: Mapping[str, int], place: Bits) -> int:
    """The value of a run of bits among the registers a message carries; absent means 0."""
    return fields.get(place.field, 0) >> place.low & (1 << place.width) - 1


@dataclass(frozen=True, slots=True)
class AdaptiveDecider:
    """``decisions`` and ``feeds`` give those in force: decisions, and the feeds' names."""

    decisions: Callable[[], Iterable[Decision]]
    feeds: Callable[[], Iterable[str]]

    def of(self, fields: Mapping[str, int]) -> tuple[str | None, str | None]:
        """The decision's id or the feed's name by which the adaptive tier gave the verdict that
        these registers carry; None for both where another tier did."""
        if not bits(fields, layout.BY_DECISION):
            return None, None
        if bits(fields, layout.QUARANTINED) or bits(fields, layout.ISOLATED):
            number = bits(fields, layout.DECISION)
            held = (each.id for each in self.decisions() if each.number == number)
            return next(held, id_of(number)), None
        number = bits(fields, layout.FEED)
        listed = (name for name in self.feeds() if name_number(name) == number)
        return None, next(listed, f"number {number}")

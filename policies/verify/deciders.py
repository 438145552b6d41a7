"""Which box decides, exactly: a search through the pieces that are left of a region.

Regions are cut along one box after the other, the deciding ones first. `BUDGET` bounds the pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from policies.verify.boxes import Box, Region, inside, outside, ranked, touches
from policies.verify.ranges import Ranges, Undecided

BUDGET = 200_000


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Packets where rules and intents disagree: classes and services, and who decides."""

    sources: int
    targets: int
    services: Ranges
    rule: Box
    intent: Box


def disagreement(
    rules: Iterable[Box], intents: Iterable[Box], region: Region
) -> Disagreement | None:
    """Where in a region another intent decides than the rule says; None: nowhere."""
    ours = ranked(each for each in rules if touches(each, region))
    theirs = ranked(each for each in intents if touches(each, region))
    left = [region]
    steps = 0
    for rule in ours:
        rest: list[Region] = []
        for part in left:
            steps += 1
            if steps > BUDGET:
                raise Undecided("too many boxes to compare one by one")
            shared = inside(part, rule)
            if shared is None:
                rest.append(part)
                continue
            found = _against(shared, rule, theirs)
            if found is not None:
                return found
            rest += outside(part, rule)
        left = rest
        if not left:
            break
    return None


def _against(region: Region, rule: Box, intents: Sequence[Box]) -> Disagreement | None:
    left = [region]
    for intent in intents:
        rest: list[Region] = []
        for part in left:
            shared = inside(part, intent)
            if shared is None:
                rest.append(part)
            elif intent.label != rule.label:
                return Disagreement(*shared, rule, intent)
            else:
                rest += outside(part, intent)
        left = rest
        if not left:
            break
    return None


def decided_by(
    wanted: Callable[[Box], bool], rules: Iterable[Box], region: Region
) -> Region | None:
    """A part of a region where a rule of the wanted ones decides; None: none exists."""
    in_order = ranked(rules)
    for position, rule in enumerate(in_order):
        if not wanted(rule):
            continue
        start = inside(region, rule)
        if start is None:
            continue
        above = [other for other in in_order[:position] if touches(other, start)]
        stack = [(start, 0)]
        steps = 0
        while stack:
            part, at = stack.pop()
            steps += 1
            if steps > BUDGET:
                raise Undecided("too many boxes to look through")
            while at < len(above) and inside(part, above[at]) is None:
                at += 1
            if at == len(above):
                return part
            stack += [(piece, at + 1) for piece in outside(part, above[at])]
    return None

"""Identities of all addresses: their rules and codes, kept up as memberships change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from policies.compiler.common.aggregate import Aggregate, Key
from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.identity_codes import Codes, Ends, codes_of
from policies.compiler.common.overlaps import SegmentOverlaps
from policies.compiler.stateful.identity import IdentityRules
from policies.rules.rule import Rule
from policies.semantics.membership import Membership


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """``recoded`` are segments with another code, ``met`` those that overlap others than before."""

    rules: RuleChange = RuleChange()
    recoded: frozenset[str] = frozenset()
    met: frozenset[str] = frozenset()


class Identities:
    """``codes`` are those of the ends that intents name, ``together`` says for each segment
    which others share an address with it."""

    def __init__(self, ends: Ends, membership: Membership) -> None:
        self._ends, self._membership = ends, membership
        self._overlaps = SegmentOverlaps(membership.spans.values())
        self.together = self._overlaps.together
        self.codes: Codes = codes_of(ends, self.together)
        self._prefixes = Aggregate(membership.spans.items())
        self._maker = IdentityRules(self.codes, membership.mode_of)
        self._rules = {
            prefix: self._maker.prefix(prefix, segments)
            for prefix, segments in self._prefixes.kept()
        }

    def rules(self) -> Iterator[Rule]:
        yield from self._maker.default()
        yield from chain.from_iterable(self._rules[prefix] for prefix in sorted(self._rules))

    def change(self, ends: Ends, membership: Membership) -> IdentityChange:
        """Follow a membership under the same segments, and the ends that intents name.

        Raises CompileError when an address is in too many segments.
        """
        spans, before = membership.changes_since(self._membership), self._membership.spans
        met = self._overlaps.change(
            (before[key] for key in spans if key in before),
            (segments for segments in spans.values() if segments is not None),
        )
        recoded = frozenset[str]()
        if ends != self._ends or met:
            codes = codes_of(ends, self.together)
            new, old = codes.values, self.codes.values
            recoded = frozenset(name for name in {*new, *old} if new.get(name) != old.get(name))
            self.codes = codes
        self._ends, self._membership = ends, membership
        changed: dict[Key, frozenset[str] | None] = self._prefixes.change(spans.items())
        if recoded:
            self._maker = IdentityRules(self.codes, membership.mode_of)
            for prefix, kept in self._prefixes.kept():
                if not recoded.isdisjoint(kept):
                    changed[prefix] = kept
        old_rules = [rule for prefix in changed for rule in self._rules.pop(prefix, ())]
        for prefix, segments in changed.items():
            if segments is not None:
                self._rules[prefix] = self._maker.prefix(prefix, segments)
        new_rules = (rule for prefix in changed for rule in self._rules.get(prefix, ()))
        return IdentityChange(change_between(old_rules, new_rules), recoded, frozenset(met))

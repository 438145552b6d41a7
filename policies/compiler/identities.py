"""Identities of all addresses: their rules and codes, kept up as memberships change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from policies.compiler.aggregate import Aggregate, Key
from policies.compiler.changes import Change, change_between
from policies.compiler.identity import IdentityRules, SegmentCode, codes_apart
from policies.compiler.overlaps import Overlaps
from policies.membership import Membership
from policies.rules import Rule


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """``recoded`` are segments with another code, ``met`` those that overlap others than before."""

    rules: Change = Change()
    recoded: frozenset[str] = frozenset()
    met: frozenset[str] = frozenset()


class Identities:
    """``codes`` are those of the segments that intents name, ``together`` says for each segment
    which others share an address with it."""

    def __init__(self, named: frozenset[str], membership: Membership) -> None:
        self._named, self._membership = named, membership
        self._overlaps = Overlaps(membership.spans.values())
        self.together = self._overlaps.together
        self.codes: Mapping[str, SegmentCode] = codes_apart(named, self.together)
        self._prefixes = Aggregate(membership.spans.items())
        self._maker = IdentityRules(self.codes, membership.mode_of)
        self._rules = {
            prefix: self._maker.prefix(prefix, segments)
            for prefix, segments in self._prefixes.kept()
        }

    def rules(self) -> Iterator[Rule]:
        yield from self._maker.default()
        yield from chain.from_iterable(self._rules[prefix] for prefix in sorted(self._rules))

    def change(self, named: frozenset[str], membership: Membership) -> IdentityChange:
        """Follow a membership under the same segments, and which of them intents name.

        Raises CompileError when an address is in too many segments.
        """
        spans, before = membership.changes_since(self._membership), self._membership.spans
        met = self._overlaps.change(
            (before[key] for key in spans if key in before),
            (segments for segments in spans.values() if segments is not None),
        )
        recoded = frozenset[str]()
        if named != self._named or met:
            codes, old = codes_apart(named, self.together), self.codes
            recoded = frozenset(name for name in {*codes, *old} if codes.get(name) != old.get(name))
            if recoded:
                self.codes = codes
        self._named, self._membership = named, membership
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

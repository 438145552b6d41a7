"""Difference of two policies: who may newly talk to whom, and who no longer may. No packets are
tried: addresses are grouped by the segments they are in under both policies, services by the ranges
that intents tell apart, and every such group is judged twice. Pairs that no change can touch are
passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from policies.model import (
    NOWHERE,
    Action,
    Intent,
    Mode,
    Policy,
    Service,
    Tier,
)
from policies.review.address_classes import AddressClass, groups_of
from policies.review.verdict_difference import (
    ComparedVerdict,
    PairSide,
    VerdictDifference,
    by_segments,
)
from policies.semantics.intent_ends import EndIndex, includes
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import address_at
from policies.semantics.service_partition import service_ranges, verdicts
from policies.semantics.verdict import Judge

MANY = 2_500  # pairs that are judged one by one when defaults or modes change


def differences(old: Policy, new: Policy, now: float) -> tuple[VerdictDifference, ...]:
    """All pairs and services whose verdict changes, in the order of their segments."""
    return tuple(sorted(_DiffComparison(old, new, now).differences(), key=by_segments))


class _DiffComparison:
    def __init__(self, old: Policy, new: Policy, now: float) -> None:
        self._old, self._new, self._now = old, new, now
        self._members = Membership(old), Membership(new)
        self._judges = Judge(old, self._members[0]), Judge(new, self._members[1])
        self._groups = groups_of(self._members[0].spans, self._members[1].spans)
        self._changed = _changed_intents(old, new)

    def differences(self) -> Iterator[VerdictDifference]:
        """Equal differences of one pair's services are one; groups with the same names are apart
        only by address family."""
        listed = self._pairs()
        touched = self._touched()
        if len(touched) * len(self._groups) > MANY:
            yield from self._summary(touched, listed)
        else:
            listed |= {
                pair
                for group in touched
                for near in self._groups
                if near.version == group.version
                for pair in ((group, near), (near, group))
            }
        order = {group: number for number, group in enumerate(self._groups)}
        for source, target in sorted(listed, key=lambda pair: (order[pair[0]], order[pair[1]])):
            found: dict[tuple[ComparedVerdict, ComparedVerdict], list[Service]] = {}
            ranges = 0
            for service, before, after in self._judged(source, target):
                ranges += 1
                if not before.same(after):
                    found.setdefault((before, after), []).append(service)
            for (before, after), services in found.items():
                every = len(services) == ranges
                apart = (Service(),) if every else tuple(services)
                sides = self._side(source), self._side(target)
                yield VerdictDifference(*sides, apart, before, after, every)

    def _side(self, group: AddressClass) -> PairSide:
        example = address_at(self._groups[group])
        return PairSide(tuple(sorted(group.before)), tuple(sorted(group.after)), example)

    def _judged(
        self, source: AddressClass, target: AddressClass
    ) -> Iterator[tuple[Service, ComparedVerdict, ComparedVerdict]]:
        old = self._judges[0].between(source.before, target.before)
        new = self._judges[1].between(source.after, target.after)
        ranges = service_ranges((*old, *new), source.version)
        sides = (
            (self._judges[0], source.before, target.before),
            (self._judges[1], source.after, target.after),
        )
        before, after = (
            [ComparedVerdict.of(v) for v in verdicts(*side, ranges, source.version, self._now)]
            for side in sides
        )
        return zip(ranges, before, after, strict=True)

    def _touched(self) -> set[AddressClass]:
        """Groups whose verdicts change with the defaults or with modes alone, if any do."""
        one, other = self._members
        if self._old.defaults.action is not self._new.defaults.action:
            return set(self._groups)
        return {g for g in self._groups if one.mode_of(g.before) != other.mode_of(g.after)}

    def _pairs(self) -> set[tuple[AddressClass, AddressClass]]:
        """Pairs of groups, one address family each, that changed intents or segments can touch."""
        groups = self._groups
        pairs = {
            pair
            for group in groups
            if group.before != group.after
            for near in groups
            if near.version == group.version
            for pair in ((group, near), (near, group))
        }
        for intent in self._changed:
            starts = [g for g in groups if self._touches(intent.sources, g)]
            ends = [g for g in groups if self._touches(intent.targets, g)]
            pairs |= {(a, b) for a in starts for b in ends if a.version == b.version}
        return pairs

    def _summary(
        self, touched: set[AddressClass], listed: set[tuple[AddressClass, AddressClass]]
    ) -> Iterator[VerdictDifference]:
        """What changes for pairs with the same intents before and after, by who decides them.

        Only the default's word and what passes of a deny can change there: one difference for
        the default and for every deny intent, and for each way in which it changes, with one
        pair of addresses that shows it.
        """
        live = [intent for intent in self._new.intents if intent.holds(self._now)]
        # The default decides something between two groups unless an intent names all services.
        whole = [i for i in live if any(service.proto is None for service in i.services)]
        found = self._shown(
            self._groups, self._groups, touched, listed,
            (self._old.defaults.action, self._new.defaults.action), Tier.DEFAULT.value, whole,
        )  # fmt: skip
        for pair, before, after in found:
            yield self._whole(("any",), ("any",), pair, before, after, "what no intent decides")
        for intent in live:
            if intent.action is Action.DENY:
                starts = [g for g in self._groups if includes(intent.sources, g.after)]
                ends = [g for g in self._groups if includes(intent.targets, g.after)]
                actions = (Action.DENY, Action.DENY)
                for pair, before, after in self._shown(
                    starts, ends, touched, listed, actions, intent.name, None
                ):
                    sides = (tuple(sorted(intent.sources)), tuple(sorted(intent.targets)))
                    what = f"what '{intent.name}' denies"
                    yield self._whole(*sides, pair, before, after, what)

    def _whole(
        self,
        sources: tuple[str, ...],
        targets: tuple[str, ...],
        pair: tuple[AddressClass, AddressClass],
        before: ComparedVerdict,
        after: ComparedVerdict,
        named: str,
    ) -> VerdictDifference:
        one, other = (address_at(self._groups[group]) for group in pair)
        sides = PairSide(sources, sources, one), PairSide(targets, targets, other)
        return VerdictDifference(*sides, (Service(),), before, after, named=named)

    def _shown(
        self,
        sources: Iterable[AddressClass],
        targets: Iterable[AddressClass],
        touched: set[AddressClass],
        listed: set[tuple[AddressClass, AddressClass]],
        actions: tuple[Action, Action],
        by: str,
        whole: Sequence[Intent] | None,
    ) -> Iterator[tuple[tuple[AddressClass, AddressClass], ComparedVerdict, ComparedVerdict]]:
        """For each way in which one decider's verdicts change, the first pair that it decides."""
        shown: set[tuple[ComparedVerdict, ComparedVerdict]] = set()
        for some in self._by_modes(sources, touched).items():
            for others in self._by_modes(targets, touched).items():
                (one, changed), (other, altered) = some[0], others[0]
                if one[0] != other[0] or not (changed or altered):
                    continue
                modes = [max(mine, theirs) for mine, theirs in zip(one[1:], other[1:], strict=True)]
                before, after = (
                    ComparedVerdict(
                        action.value,
                        action is Action.ALLOW or mode is not Mode.ENFORCE,
                        mode.name.lower(),
                        by,
                    )
                    for action, mode in zip(actions, modes, strict=True)
                )
                if before.same(after) or (before, after) in shown:
                    continue
                pair = self._first(some[1], others[1], listed, by, whole)
                if pair is not None:
                    shown.add((before, after))
                    yield pair, before, after

    def _by_modes(
        self, groups: Iterable[AddressClass], touched: set[AddressClass]
    ) -> dict[tuple[tuple[int, Mode, Mode], bool], list[AddressClass]]:
        """Groups by address family and mode before and after, and whether they are touched."""
        one, other = self._members
        found: dict[tuple[tuple[int, Mode, Mode], bool], list[AddressClass]] = {}
        for group in groups:
            kind = (group.version, one.mode_of(group.before), other.mode_of(group.after))
            found.setdefault((kind, group in touched), []).append(group)
        return found

    def _first(
        self,
        sources: Sequence[AddressClass],
        targets: Sequence[AddressClass],
        listed: set[tuple[AddressClass, AddressClass]],
        by: str,
        whole: Sequence[Intent] | None,
    ) -> tuple[AddressClass, AddressClass] | None:
        """The first pair that is not listed by itself and that a decider decides something of."""
        if whole is None:
            pairs = ((a, b) for a in sources for b in targets if (a, b) not in listed)
            return next((p for p in pairs if any(w.by == by for _, w, _ in self._judged(*p))), None)
        starts, ends = (
            [index.including(group.after) for group in groups]
            for index, groups in (
                (EndIndex(intent.sources for intent in whole), sources),
                (EndIndex(intent.targets for intent in whole), targets),
            )
        )
        for source, start in zip(sources, starts, strict=True):
            for target, end in zip(targets, ends, strict=True):
                if not start & end and (source, target) not in listed:
                    return source, target
        return None

    def _touches(self, names: Sequence[str], group: AddressClass) -> bool:
        return includes(names, group.before) or includes(names, group.after)


def _changed_intents(old: Policy, new: Policy) -> list[Intent]:
    """Intents of either policy that the other does not have with the same meaning."""

    def meanings(policy: Policy) -> set[Intent]:
        return {
            replace(i, source=NOWHERE, description="", log=False, keep_established=False)
            for i in policy.intents
        }

    return sorted(meanings(old) ^ meanings(new), key=lambda intent: intent.name)

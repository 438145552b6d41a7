"""What another policy changes: who may newly talk to whom, and who no longer may.

Not by trying packets: addresses are grouped by the segments they are in under
both policies, services by the ranges that intents tell apart, and every such
group is judged twice. Pairs that no change can touch are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.compiler import (
    Change,
    Compiler,
    SwitchView,
    change_between,
    declared_bindings,
    view_rules,
)
from policies.compiler.targets import Form, RulesOfAll, Target
from policies.membership import Membership
from policies.model import ANY, NOWHERE, UNKNOWN, Address, Intent, Policy, Service, Verdict
from policies.regions import SIX, address_at
from policies.spaces import service_ranges, verdicts
from policies.verdict import Judge

_ALL = ((0, -(1 << 32)), (SIX, -(1 << 128)))


@dataclass(frozen=True, slots=True)
class Side:
    """Addresses that are in the same segments as one another, before and after."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    example: Address

    def __str__(self) -> str:
        old, new = (",".join(names) or UNKNOWN for names in (self.before, self.after))
        return new if old == new else f"{old} (now {new})"


@dataclass(frozen=True, slots=True)
class Decided:
    """What matters of a verdict: what it says, whether packets pass, and by whose word."""

    action: str
    forwarded: bool
    mode: str
    by: str

    @classmethod
    def of(cls, verdict: Verdict) -> Decided:
        by = verdict.intent or verdict.tier.value
        return cls(verdict.action.value, verdict.forwarded, verdict.mode.name.lower(), by)

    def same(self, other: Decided) -> bool:
        """Equal for those who talk, whichever intent says so."""
        return (self.action, self.forwarded) == (other.action, other.forwarded)


@dataclass(frozen=True, slots=True)
class Difference:
    """One pair of sides whose verdict on some services changes.

    A service without a protocol stands for every protocol that no intent between them names, and
    where it is the only one and ``every`` is set, for all services.
    """

    source: Side
    target: Side
    services: tuple[Service, ...]
    before: Decided
    after: Decided
    every: bool = False

    @property
    def service_names(self) -> tuple[str, ...]:
        if self.every:
            return ("any",)
        return tuple(
            "other protocols" if service.proto is None else str(service)
            for service in self.services
        )

    @property
    def kind(self) -> str:
        """``opened``, ``closed``, or ``judged`` where only the verdict changes, not what passes."""
        if self.before.forwarded == self.after.forwarded:
            return "judged"
        return "opened" if self.after.forwarded else "closed"


def differences(old: Policy, new: Policy, now: float) -> tuple[Difference, ...]:
    """All pairs and services whose verdict changes, in the order of their segments."""
    return tuple(sorted(_Comparison(old, new, now).differences(), key=_order))


def _order(difference: Difference) -> tuple[str, tuple[str, ...], tuple[str, ...], int, str]:
    source, target = difference.source, difference.target
    kind = ("opened", "closed", "judged").index(difference.kind)
    version = source.example.version
    return (str(kind), source.after, target.after, version, str(difference.services))


@dataclass(frozen=True, slots=True)
class _Group:
    version: int
    before: frozenset[str]
    after: frozenset[str]


class _Comparison:
    def __init__(self, old: Policy, new: Policy, now: float) -> None:
        self._old, self._new, self._now = old, new, now
        self._members = Membership(old), Membership(new)
        self._judges = Judge(old, self._members[0]), Judge(new, self._members[1])
        self._groups = _groups(self._members[0].spans, self._members[1].spans)
        self._changed = _changed_intents(old, new)

    def differences(self) -> Iterator[Difference]:
        """Equal differences of one pair's services are one; groups with the same names are apart
        only by address family."""
        for source, target in self._pairs():
            found: dict[tuple[Decided, Decided], list[Service]] = {}
            ranges = 0
            for service, before, after in self._judged(source, target):
                ranges += 1
                if not before.same(after):
                    found.setdefault((before, after), []).append(service)
            for (before, after), services in found.items():
                every = len(services) == ranges
                apart = (Service(),) if every else tuple(services)
                sides = self._side(source), self._side(target)
                yield Difference(*sides, apart, before, after, every)

    def _side(self, group: _Group) -> Side:
        example = address_at(self._groups[group])
        return Side(tuple(sorted(group.before)), tuple(sorted(group.after)), example)

    def _judged(self, source: _Group, target: _Group) -> Iterator[tuple[Service, Decided, Decided]]:
        old = self._matching(self._old.intents, source.before, target.before)
        new = self._matching(self._new.intents, source.after, target.after)
        ranges = service_ranges((*old, *new), source.version)
        sides = (
            (self._judges[0], source.before, target.before),
            (self._judges[1], source.after, target.after),
        )
        before, after = (
            [Decided.of(v) for v in verdicts(*side, ranges, source.version, self._now)]
            for side in sides
        )
        return zip(ranges, before, after, strict=True)

    def _matching(
        self, intents: Sequence[Intent], sources: frozenset[str], targets: frozenset[str]
    ) -> list[Intent]:
        return [i for i in intents if _meets(i.sources, sources) and _meets(i.targets, targets)]

    def _pairs(self) -> Iterator[tuple[_Group, _Group]]:
        """Every pair of groups, one address family each, that some change can touch."""
        groups = self._groups
        defaults = self._old.defaults, self._new.defaults
        everywhere = replace(defaults[0], infrastructure=defaults[1].infrastructure) != defaults[1]
        if everywhere:
            touched = set(groups)
        else:
            one, other = self._members
            touched = {
                group
                for group in groups
                if group.before != group.after
                or one.mode_of(group.before) != other.mode_of(group.after)
            }
        pairs = {
            pair
            for group in touched
            for near in groups
            if near.version == group.version
            for pair in ((group, near), (near, group))
        }
        for intent in self._changed:
            starts = [g for g in groups if self._touches(intent.sources, g)]
            ends = [g for g in groups if self._touches(intent.targets, g)]
            pairs |= {(a, b) for a in starts for b in ends if a.version == b.version}
        order = {group: number for number, group in enumerate(groups)}
        yield from sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))

    def _touches(self, names: Sequence[str], group: _Group) -> bool:
        return _meets(names, group.before) or _meets(names, group.after)


def _meets(names: Iterable[str], segments: frozenset[str]) -> bool:
    return any(
        name == ANY or name in segments or (name == UNKNOWN and not segments) for name in names
    )


def _changed_intents(old: Policy, new: Policy) -> list[Intent]:
    """Intents of either policy that the other does not have with the same meaning."""

    def meanings(policy: Policy) -> set[Intent]:
        return {
            replace(i, source=NOWHERE, description="", log=False, keep_established=False)
            for i in policy.intents
        }

    return sorted(meanings(old) ^ meanings(new), key=lambda intent: intent.name)


def _groups(
    old: Mapping[tuple[int, int], frozenset[str]], new: Mapping[tuple[int, int], frozenset[str]]
) -> dict[_Group, int]:
    """Addresses by their segments under both policies, with the first address of each group."""
    keys = sorted({*old, *new, *_ALL})
    found: dict[_Group, int] = {}
    nobody = frozenset[str]()
    stack: list[tuple[int, frozenset[str], frozenset[str]]] = []
    for place, (start, wide) in enumerate(keys):
        while stack and stack[-1][0] <= start:
            stack.pop()
        _, before, after = stack[-1] if stack else (0, nobody, nobody)
        before, after = old.get((start, wide), before), new.get((start, wide), after)
        stack.append((start - wide, before, after))
        group = _Group(6 if start & SIX else 4, before, after)
        if group not in found:
            first = _first_uncovered(keys, place)
            if first is not None:
                found[group] = first
    return found


def _first_uncovered(keys: Sequence[tuple[int, int]], place: int) -> int | None:
    """The first address of a prefix that no longer prefix covers; ``keys`` are in order."""
    start, wide = keys[place]
    free = start
    for inner, size in keys[place + 1 :]:
        if inner > free or inner >= start - wide:
            break
        free = max(free, inner - size)
    return free if free < start - wide else None


def rule_changes(
    old: Policy,
    new: Policy,
    views: Mapping[int, tuple[SwitchView, SwitchView]],
    now: float,
    forms: Mapping[int, Form] | None = None,
) -> dict[int, Change]:
    """Rules to add and to remove on every switch of ``views``, which gives each as it is under
    the old and under the new policy; ``forms`` names those that do not track connections.

    Raises CompileError for a policy that the tables cannot hold.
    """
    before, after = (declared_bindings(policy) for policy in (old, new))
    members = Membership(old, before), Membership(new, after)
    plain = {s: f for s, f in (forms or {}).items() if f.target is not Target.STATEFUL}
    changes = {}
    if tracking := {switch: pair for switch, pair in views.items() if switch not in plain}:
        compiler = Compiler(old, members[0], before, now)
        for view, _ in tracking.values():
            compiler.rules(view)
        update = compiler.update(new, members[1], after, now)
        for switch, (was, view) in tracking.items():
            own = change_between(view_rules(was), view_rules(view))
            changes[switch] = update.on(switch) + own
    olds = RulesOfAll(plain, old, members[0], before, now)
    news = RulesOfAll(plain, new, members[1], after, now)
    for switch in plain.keys() & views.keys():
        was, view = views[switch]
        changes[switch] = change_between(olds.rules(was), news.rules(view))
    return {switch: changes[switch] for switch in views}

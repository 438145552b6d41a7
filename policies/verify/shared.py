"""The part of a proof that is the same for every switch with the same identities and tiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from policies.model import Mode, Policy
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import address_at
from policies.verify.addresses import SOURCE, TARGET, AddressClasses
from policies.verify.boxes import Region
from policies.verify.classes import bitset, indices
from policies.verify.index import TableIndex, bits_mask, place
from policies.verify.judging import Judging
from policies.verify.ranges import Undecided


def finder(membership: Membership) -> Callable[[int], frozenset[str]]:
    """Segments by an address's number."""
    return lambda number: membership.segments_of(address_at(number))


def read_bits(tables: Mapping[int, TableIndex]) -> int:
    """The register bits that some rule matches or reads."""
    mask = 0
    for index in tables.values():
        for group in index.groups.values():
            mask |= group.mask
            for rule in group.rules.values() if len(group.rules) < 200 else ():
                for action in rule.actions:
                    for name in ("source", "mark"):
                        bits = getattr(action, name, None)
                        if bits is not None and place(bits.field) is not None:
                            mask |= bits_mask(bits)
    return mask


class Shared:
    """What is the same for all switches whose tables before and in the tiers are the same."""

    def __init__(
        self, tables: Mapping[int, TableIndex], policy: Policy, membership: Membership, now: float
    ) -> None:
        self.problem: str | None = None
        self.suspects: list[Region] = []
        find = finder(membership)
        self.ends: tuple[AddressClasses, AddressClasses] | None = None
        try:
            read = read_bits(tables)
            self.ends = (
                AddressClasses(SOURCE, tables, membership.spans, find, read),
                AddressClasses(TARGET, tables, membership.spans, find, read),
            )
            self.judging = Judging(self.ends[0].classes, self.ends[1].classes)
            self.judging.read_intents(policy, now)
            self.judging.read_rules(tables)
            self.suspects = self.judging.suspects()
        except Undecided as problem:
            self.problem = str(problem)
        self.membership = membership

    def written(self) -> int:
        """The register bits that rules of the tiers write."""
        mask = 0
        for leaf, _ in self.judging.leaves() if self.problem is None else ():
            mask |= leaf.mask
        return mask

    def kinds(self, end: int, live: int, only: int | None = None) -> dict[tuple[int, Mode], int]:
        """Classes that are alike behind the tiers: the register bits read there, and the mode;
        all classes or ``only`` some."""
        assert self.ends is not None
        classes = self.ends[end].classes
        mask = (SOURCE, TARGET)[end].own & live
        groups: dict[tuple[int, Mode], list[int]] = {}
        for index in range(len(classes.own)) if only is None else indices(only):
            mode = self.membership.mode_of(classes.segments[index])
            key = (classes.own[index] & mask, mode)
            groups.setdefault(key, []).append(index)
        return {key: bitset(each, len(classes.own)) for key, each in groups.items()}

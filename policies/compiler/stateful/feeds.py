"""Threat feeds as rules: one per prefix, looked up for both ends. Every packet of a tracked
connection passes one table twice, once for each end, so a prefix needs one rule. A change of a feed
changes its own prefixes' rules only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.rule_parts import ETH_IP, ETH_IPV6, flag, flags
from policies.compiler.common.services import service_matches
from policies.compiler.stateful.identities import SOURCE, TARGET, address_fields
from policies.compiler.stateful.layouts import SERVICES
from policies.feed_block import FeedBlock, NarrowListing
from policies.model import ONLY_IN, Mode
from policies.rules import layout
from policies.rules.conntrack import CT_REL, CT_RPL, CT_TRK
from policies.rules.layout import Category, RuleTable, cookie, name_number
from policies.rules.rule import Bits, Field, Goto, Load, Move, Resubmit, Rule, RuleAction, match
from policies.semantics.feed_listings import in_order
from policies.semantics.prefix_sets import SIX
from policies.semantics.prefixes import Prefix

DENIES, RECORDS = 20_000, 10_000  # the priorities below which feeds of a mode stand, by name
NARROW_DENIES, NARROW_RECORDS = 180, 140  # as above, of what is listed for one service
RANKS = 40  # feeds told apart by their priority


@dataclass(frozen=True, slots=True)
class FeedChange:
    """What a change of feeds does to the rules of every switch; the rules are made when asked for,
    since a feed may list a hundred thousand prefixes."""

    added: tuple[tuple[_Maker, Sequence[Prefix]], ...] = ()
    removed: tuple[tuple[_Maker, Sequence[Prefix]], ...] = ()
    others: RuleChange = RuleChange()

    def __len__(self) -> int:
        """How many rules come or go."""
        listed = sum(len(prefixes) for _, prefixes in (*self.added, *self.removed))
        return listed + len(self.others.added) + len(self.others.removed)

    def parts(self, size: int) -> Iterator[RuleChange]:
        """The same in changes of at most ``size`` rules."""
        left = chain(
            ((True, rule) for rule in _made(self.added)),
            ((False, rule) for rule in _made(self.removed)),
            ((True, rule) for rule in self.others.added),
            ((False, rule) for rule in self.others.removed),
        )
        while part := tuple(islice(left, size)):
            yield RuleChange(
                tuple(rule for new, rule in part if new),
                tuple(rule for new, rule in part if not new),
            )


def _made(listed: Iterable[tuple[_Maker, Sequence[Prefix]]]) -> Iterator[Rule]:
    return (maker.rule(prefix) for maker, prefixes in listed for prefix in prefixes)


class FeedRules:
    """The rules of all feeds, kept up as they change."""

    def __init__(self, blocks: Iterable[FeedBlock] = ()) -> None:
        self._listed: dict[str, tuple[_Maker, tuple[Prefix, ...]]] = {}
        self._narrow: tuple[Rule, ...] = ()
        self.change(blocks)

    def rules(self) -> Iterator[Rule]:
        yield from _LOOKUPS if self._listed else ()
        yield from _made(self._listed.values())
        yield from self._narrow

    def change(self, blocks: Iterable[FeedBlock]) -> FeedChange:
        """Follow what all feeds list now; the rules that come and go."""
        before = self._listed
        self._listed = {}
        ordered = in_order(blocks)
        for rank, block in enumerate(ordered):
            top = DENIES if block.mode is Mode.ENFORCE else RECORDS
            self._listed[block.feed] = _Maker(block, top - rank), block.prefixes
        added: list[tuple[_Maker, Sequence[Prefix]]] = []
        removed: list[tuple[_Maker, Sequence[Prefix]]] = []
        for feed in {**before, **self._listed}:
            maker, old = before.get(feed, (None, ()))
            now, new = self._listed.get(feed, (None, ()))
            if maker is not None and now is not None and maker.place == now.place:
                if old is not new:
                    known, wanted = set(old), set(new)
                    added.append((now, [each for each in new if each not in known]))
                    removed.append((maker, [each for each in old if each not in wanted]))
                continue
            if maker is not None:
                removed.append((maker, old))
            if now is not None:
                added.append((now, new))
        lookups = RuleChange()
        if bool(before) != bool(self._listed):
            lookups = RuleChange(_LOOKUPS) if self._listed else RuleChange((), _LOOKUPS)
        narrow, self._narrow = self._narrow, tuple(narrow_rules(ordered))
        others = lookups + change_between(narrow, self._narrow)
        return FeedChange(tuple(added), tuple(removed), others)


def _lookups() -> Iterator[Rule]:
    """Look both ends up, the initiator's first."""
    for eth_type, names, target in (
        (
            ETH_IP,
            ("ip_src", "ip_dst", "ct_nw_src", "ct_nw_dst"),
            Bits(layout.LOOKUP_REGS[0], 0, 32),
        ),
        (
            ETH_IPV6,
            ("ipv6_src", "ipv6_dst", "ct_ipv6_src", "ct_ipv6_dst"),
            Bits(layout.LOOKUP_WIDE, 0, 128),
        ),
    ):
        src, dst, first, last = (Bits(name, 0, target.width) for name in names)
        for priority, bit, ends in (
            (250, CT_REL, (first, last)),
            (120, CT_RPL, (dst, src)),
            (100, 0, (src, dst)),
        ):
            state = (Field("ct_state", CT_TRK | bit, CT_TRK | bit),)
            looked: list[RuleAction] = []
            for end in ends:
                looked += [Move(end, target), Resubmit(RuleTable.LISTED)]
            fields = match(Field("eth_type", eth_type), *state)
            actions = (*looked, Goto(RuleTable.CONNECTION))
            yield Rule(RuleTable.LISTING, priority, fields, actions, cookie(Category.FEED))


class _Maker:
    """Rules of one feed. An end that a feed lists is not asked about again, but a feed that
    denies overrides one that records."""

    def __init__(self, block: FeedBlock, priority: int) -> None:
        number = name_number(block.feed)
        denies = block.mode is Mode.ENFORCE
        self.place = block.mode, priority
        self._priority, self._cause = priority, cookie(Category.FEED, number)
        mark = layout.LISTED if denies else layout.AUDITED
        self._actions = (Load(layout.FEED, number), Load(mark, 1))
        unmarked = (
            [flag(layout.LISTED, 0)]
            if denies
            else [
                flag(layout.LISTED, 0),
                flag(layout.AUDITED, 0),
            ]
        )
        (self._free,) = flags(*unmarked)
        self._four = Field("eth_type", ETH_IP)

    def rule(self, prefix: Prefix) -> Rule:
        start, wide = prefix
        if start < SIX:
            mask = wide & 0xFFFF_FFFF
            if mask:
                address = Field(layout.LOOKUP_REGS[0], start, None if wide == -1 else mask)
                fields: tuple[Field, ...] = (self._four, self._free, address)
            else:
                fields = (self._four, self._free)
        else:
            length = 128 - ((-wide).bit_length() - 1)
            fields = flags(self._free, *address_fields(SOURCE, start ^ SIX, length, 6))
        return Rule(RuleTable.LISTED, self._priority, fields, self._actions, self._cause)


_LOOKUPS = tuple(_lookups())


_PLACES = {
    "from": (SOURCE, RuleTable.MARK_SOURCE, RuleTable.MARK_TARGET),
    "to": (TARGET, RuleTable.MARK_TARGET, RuleTable.SOURCE),
}


def narrow_rules(blocks: Iterable[FeedBlock]) -> Iterator[Rule]:
    """The rules of all feeds that list something for one service, by feed.

    They stand where both ends and the responder's port are known, the tables that mark decisions:
    below what decisions mark, and not asked where a feed lists the end for all services.
    """
    for rank, block in enumerate(each for each in in_order(blocks) if each.narrow):
        denies = block.mode is Mode.ENFORCE
        priority = (NARROW_DENIES if denies else NARROW_RECORDS) - min(rank, RANKS - 1)
        number = name_number(block.feed)
        mark = layout.LISTED if denies else layout.AUDITED
        load = (Load(layout.FEED, number), Load(mark, 1))
        unmarked = [flag(layout.LISTED, 0)] + ([] if denies else [flag(layout.AUDITED, 0)])
        seen: set[tuple[RuleTable, tuple[Field, ...]]] = set()
        for part in block.narrow:
            _, table, following = _PLACES[part.direction]
            actions: tuple[RuleAction, ...] = (*load, Goto(following))
            for prefix in part.prefixes:
                for fields in _matches(part, prefix):
                    whole = flags(*fields, *unmarked)
                    if (table, whole) not in seen:
                        seen.add((table, whole))
                        cause = cookie(Category.FEED, number)
                        yield Rule(table, priority, whole, actions, cause)


def _matches(part: NarrowListing, prefix: Prefix) -> Iterator[tuple[Field, ...]]:
    start, wide = prefix
    version, bits = (6, 128) if start >= SIX else (4, 32)
    if ONLY_IN.get(part.service.proto, version) != version:
        return
    length = bits - ((-wide).bit_length() - 1)
    address = address_fields(_PLACES[part.direction][0], start & ~SIX, length, version)
    for fields in service_matches([part.service], SERVICES):
        yield (*address, *(field for field in fields if field.name != "eth_type"))

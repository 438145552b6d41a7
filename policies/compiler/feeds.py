"""What threat feeds list, as rules: one per prefix, looked up for both ends.

Every packet of a tracked connection asks one table twice, once for each end,
so a prefix needs one rule. A change of a feed is a change of its own prefixes'
rules and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies import layout
from policies.compiler.changes import Change
from policies.compiler.identity import SOURCE, address_fields
from policies.compiler.parts import CT_REL, CT_RPL, CT_TRK, ETH_IP, ETH_IPV6, flag, flags
from policies.layout import Category, Table, cookie, name_number
from policies.listings import in_order
from policies.model import FeedBlock, Mode
from policies.prefixes import Prefix
from policies.regions import SIX
from policies.rules import Bits, Field, Goto, Load, Move, Resubmit, Rule, RuleAction, match

DENIES, RECORDS = 20_000, 10_000  # the priorities below which feeds of a mode stand, by name


class FeedRules:
    """The rules of all feeds, kept up as they change."""

    def __init__(self, blocks: Iterable[FeedBlock] = ()) -> None:
        self._places: dict[str, tuple[Mode, int]] = {}
        self._rules: dict[str, dict[Prefix, Rule]] = {}
        self._asked: tuple[Rule, ...] = ()
        self.change(blocks)

    def rules(self) -> Iterator[Rule]:
        yield from self._asked
        for feed in sorted(self._rules):
            yield from self._rules[feed].values()

    def change(self, blocks: Iterable[FeedBlock]) -> Change:
        """Follow what all feeds list now; the rules that come and go."""
        ordered = in_order(blocks)
        places = {
            each.feed: (each.mode, (DENIES if each.mode is Mode.ENFORCE else RECORDS) - rank)
            for rank, each in enumerate(ordered)
        }
        added: list[Rule] = []
        removed: list[Rule] = []
        for feed in [name for name in self._rules if places.get(name) != self._places.get(name)]:
            removed += self._rules.pop(feed).values()
        for block in ordered:
            rules = self._rules.setdefault(block.feed, {})
            wanted = set(block.prefixes)
            removed += [rules.pop(prefix) for prefix in rules.keys() - wanted]
            make = _Maker(block, places[block.feed][1]).rule
            new = {prefix: make(prefix) for prefix in block.prefixes if prefix not in rules}
            rules |= new
            added += new.values()
        asked = tuple(_lookups()) if ordered else ()
        if asked != self._asked:
            added, removed = [*added, *asked], [*removed, *self._asked]
        self._places, self._asked = places, asked
        return Change(tuple(added), tuple(removed))


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
                looked += [Move(end, target), Resubmit(Table.LISTED)]
            fields = match(Field("eth_type", eth_type), *state)
            actions = (*looked, Goto(Table.CONNECTION))
            yield Rule(Table.LISTING, priority, fields, actions, cookie(Category.FEED))


class _Maker:
    """Rules of one feed. An end that a feed lists is not asked about again, but a feed that
    denies has the last word over one that records."""

    def __init__(self, block: FeedBlock, priority: int) -> None:
        number = name_number(block.feed)
        denies = block.mode is Mode.ENFORCE
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
        return Rule(Table.LISTED, self._priority, fields, self._actions, self._cause)

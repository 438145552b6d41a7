"""What threat feeds list for one service only, as rules.

They stand where both ends and the responder's port are known, the tables that mark decisions:
below what decisions mark, and not asked where a feed lists the end for all services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.compiler.common.rule_parts import flag, flags
from policies.compiler.common.services import service_matches
from policies.compiler.stateful.identities import SOURCE, TARGET, address_fields
from policies.compiler.stateful.layouts import SERVICES
from policies.feed_block import FeedBlock, NarrowListing
from policies.model import ONLY_IN, Mode
from policies.rules import layout
from policies.rules.layout import Category, RuleTable, cookie, name_number
from policies.rules.rule import Field, Goto, Load, Rule, RuleAction
from policies.semantics.feed_listings import in_order
from policies.semantics.prefix_sets import SIX
from policies.semantics.prefixes import Prefix

DENIES, RECORDS = 180, 140  # the priorities below which feeds of a mode stand, by name
RANKS = 40  # feeds told apart by their priority
_PLACES = {
    "from": (SOURCE, RuleTable.MARK_SOURCE, RuleTable.MARK_TARGET),
    "to": (TARGET, RuleTable.MARK_TARGET, RuleTable.SOURCE),
}


def narrow_rules(blocks: Iterable[FeedBlock]) -> Iterator[Rule]:
    """The rules of all feeds that list something for one service, by feed."""
    for rank, block in enumerate(each for each in in_order(blocks) if each.narrow):
        denies = block.mode is Mode.ENFORCE
        priority = (DENIES if denies else RECORDS) - min(rank, RANKS - 1)
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

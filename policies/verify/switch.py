"""The proof for one switch, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Rule
from policies.semantics.prefix_sets import SIX, address_at
from policies.verify.flows import ASKS, aimed_packets, flow_packets
from policies.verify.groups import station_packets
from policies.verify.index import bits_mask
from policies.verify.passages import Passages
from policies.verify.ranges import Undecided, masked
from policies.verify.representative_packets import (
    entry_packets,
    lent_packets,
    request_packets,
    varied,
)
from policies.verify.tuples import Tuples

MANY = 64  # strange addresses to look at one by one


def covered(rule: Rule) -> list[tuple[int, int]]:
    """First and last address of what a rule matches as source; raises Undecided for too ragged
    a match."""
    (wanted,) = (each for each in rule.match if each.name in ("ip_src", "ipv6_src"))
    six = wanted.name == "ipv6_src"
    base, width = (SIX, 128) if six else (0, 32)
    mask = (1 << width) - 1 if wanted.mask is None else wanted.mask
    return [(base | low, base | high) for low, high in masked(wanted.value, mask, width)]


class SwitchProof(Tuples, Passages):
    """What `run` leaves behind: ``found``, ``unproven`` and ``statistics``."""

    def run(self) -> None:
        """All steps; they end early once there are counterexamples enough."""
        self._count("rules", sum(1 for index in self.tables.values() for _ in index.rules()))
        steps = [self.entries, self._lent, self.requests, self._unusual]
        if self.shared.ends is not None:
            steps += [self._deciders, self._strange, self.connections, self.flows]
        for step in steps:
            step()
            if self.enough:
                return
        if self.shared.problem is not None:
            self._search_everywhere()
            if not self.found and not self.later:
                self.unproven.append(self.shared.problem)
        self.found += self.later[:1] if not self.found else []

    def entries(self) -> None:
        """Who may send what."""
        self._enter(entry_packets(self.world, self.expectation))

    def _enter(self, packets: Iterable[dict[str, int]]) -> None:
        """Try packets; and with one that each rule of the guard lets in, what becomes of other
        tags, and of other targets where it goes on otherwise than hosts' packets do."""
        seen: set[tuple[int, int]] = set()
        usual = bits_mask(layout.FROM_EDGE)
        for packet in packets:
            run, _, wrong = self._met(packet, ASKS, False)
            if wrong and self.enough:
                return
            port, guard = packet["in_port"], run.rules[:1]
            if port not in self.expectation.edges or RuleTable.LOCALITY not in run.entries:
                continue
            where = (port, id(guard[0]))
            if where in seen:
                continue
            seen.add(where)
            entry = run.entries[RuleTable.LOCALITY], run.tags.get(RuleTable.LOCALITY, 0)
            more = varied(self.world, self.expectation, packet, entry != (usual, 0))
            if self.try_all((each, ASKS) for each in more):
                return

    def _lent(self) -> None:
        """Nobody sends from an address that is bound elsewhere, and its owner does."""
        places, here = self.expectation.places, self.expectation.view.switch
        routers = any(switch == here for switch, _, _ in places.routers)
        if self.loose.lent or routers:
            self.lent(self.loose.lent, places.numbers)

    def lent(self, rules: Iterable[Rule], numbers: Iterable[int]) -> None:
        """The same for some of the guard's rules about bound addresses, and some addresses."""
        prefixes = [each for rule in rules for each in covered(rule)]
        packets = lent_packets(self.expectation, prefixes, numbers)
        self.try_all((packet, ASKS) for packet in packets)

    def requests(self) -> None:
        """Where questions for an address go."""
        packets = chain(
            request_packets(self.world, self.expectation),
            station_packets(self.world, self.expectation),
        )
        self._enter(packets)

    def _unusual(self) -> None:
        """Rules that look at what this proof does not tell apart in their tables."""
        for rule in self.loose.unusual[:MANY]:
            if self.try_all(aimed_packets(self.world, self.expectation, rule)):
                return
        if self.loose.unusual:
            rule = self.loose.unusual[0]
            table = RuleTable(rule.table).name.lower()
            self.unproven.append(f"a rule of table {table} looks at more than this proof follows")

    def _deciders(self) -> None:
        """Rules and intents name the same decider for every pair of classes and service."""
        judging = self.shared.judging
        self._count("boxes", len(judging.rules))
        for box in self.shared.suspects:
            self._count("suspects")
            try:
                for part in self._reachable(box):
                    place = judging.differ(part)
                    if place is None:
                        continue
                    if self._witness(place.sources, place.targets, place.services):
                        break
            except Undecided as problem:
                self.unproven.append(str(problem))
            if self.enough:
                return

    def _strange(self) -> None:
        """Addresses that leave the identity tables in an unusual way, one by one."""
        assert self.shared.ends is not None
        for end, classes in enumerate(self.shared.ends):
            for number in classes.strange[:MANY]:
                mine = 1 << classes.class_of(number)
                before = len(self.found)
                for box in self.shared.judging.intents:
                    ends = (box.sources, box.targets)
                    ends = (mine, ends[1]) if end == 0 else (ends[0], mine)
                    if self._witness(*ends, box.services):
                        break
                if len(self.found) == before:
                    self.unproven.append(
                        f"{address_at(number)} is identified in a way this proof does not follow"
                    )

    def _search_everywhere(self) -> None:
        """Without a proof, packets that every intent is about."""
        if self.shared.ends is None:
            self.try_all(flow_packets(self.world, self.expectation, False))
            return
        judging = self.shared.judging
        for box in (*judging.intents, *judging.rules):
            if self._witness(box.sources, box.targets, box.services):
                return

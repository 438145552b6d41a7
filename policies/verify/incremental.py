"""After a change, only what it can concern is proven again.

A rule that comes or goes concerns the packets it matches; an intent those it is
about; a prefix of a segment its addresses; a host's place its port, MAC and
addresses (`policies.verify.affected`). Elsewhere the last proof still stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from policies.model import Mode
from policies.rules.rule import Rule
from policies.semantics.verdict import Judge
from policies.verify.affected import AffectedRules, Moment, StartAnew
from policies.verify.attempt import Flood, Setting
from policies.verify.boxes import EVERY_SERVICE, Box, Leaf, Region
from policies.verify.expect import Expectation
from policies.verify.groups import group_packets
from policies.verify.judging import Judging
from policies.verify.kinds import Numbering, Ports, Signature
from policies.verify.ranges import Ranges, joined
from policies.verify.shared import Shared, finder
from policies.verify.switch import SwitchProof, covered
from policies.verify.targets import NOTHING_SAID, Targets
from policies.verify.wildcard_rules import ANCHORS, STRANGE_FOUR, STRANGE_MAC, STRANGE_SIX

MOST_BOUND = 4096  # addresses of a changed prefix to look at one by one
MOST = 32  # changed boxes from which on starting anew is as good
STRANGERS = {"eth_dst": STRANGE_MAC, "arp_tpa": STRANGE_FOUR, "nd_target": STRANGE_SIX}


class IncrementalProof:
    """A proof that held, for all switches, kept up with changes."""

    def __init__(
        self,
        switches: Mapping[int, tuple[SwitchProof, frozenset[Signature], Targets]],
        alike: Numbering,
        judge: Judge,
    ) -> None:
        self._switches = {number: proof for number, (proof, _, _) in switches.items()}
        self._kinds = {number: set(kinds) for number, (_, kinds, _) in switches.items()}
        self._targets = {number: targets for number, (_, _, targets) in switches.items()}
        self._alike, self._judge = alike, judge
        self._shared: dict[int, Shared] = {
            id(proof.shared): proof.shared for proof in self._switches.values()
        }
        self._modes: dict[int, tuple[set[tuple[int, Mode]], ...]] = {}
        self._leaves: dict[int, set[tuple[Leaf, bool]]] = {}
        for key, shared in self._shared.items():
            live = self._live(key)
            self._modes[key] = tuple(set(shared.kinds(end, live)) for end in (0, 1))
            self._leaves[key] = shared.judging.leaves()

    def _live(self, key: int) -> int:
        mask = 0
        for proof in self._switches.values():
            if id(proof.shared) == key:
                mask |= proof.loose.matched
        return mask

    def follow(
        self,
        before: Moment,
        after: Moment,
        everywhere: Sequence[Rule],
        single: Mapping[int, Sequence[Rule]],
    ) -> dict[str, int]:
        """Prove what changed; how much was looked at.

        Raises StartAnew, also when something does not hold: then all has to be proven, and
        nothing of this may be used again.
        """
        old, new = before.policy, after.policy
        if old.segments != new.segments or old.defaults != new.defaults:
            raise StartAnew("segments or defaults are others")
        touched = AffectedRules({number: set() for number in self._switches})
        for rule in everywhere:
            touched.add_rule(rule, self._switches)
        for number, rules in single.items():
            for rule in rules:
                touched.add_rule(rule, (number,))
        places = next(iter(self._switches.values())).expectation.places
        touched.move_hosts(before, after, places)
        touched.compare_links(before, after)
        self._look_at_ports(after, touched)
        self._look_at_lent(touched)
        self._look_at_targets(touched)
        regions = sum(
            self._look_at_tiers(key, shared, before, after, touched)
            for key, shared in self._shared.items()
        )
        return {
            "rules": len(everywhere) + sum(len(rules) for rules in single.values()),
            "ports": sum(len(ports) for ports in touched.ports.values()),
            "targets": sum(len(values) for values in touched.targets.values()),
            "boxes": regions,
        }

    def _look_at_ports(self, after: Moment, touched: AffectedRules) -> None:
        judge = cache(lambda: self._judge_of(after))
        for number, proof in self._switches.items():
            places = proof.expectation.places
            expectation = Expectation(
                after.policy, after.membership, judge, places, after.views[number], after.now
            )
            proof.expectation = expectation
            if number in touched.flooding:
                self._flooding(proof, touched.ports[number])
            if not (only := touched.ports[number]):
                continue
            ports = Ports(proof.tables, expectation, proof.loose, self._alike)
            for port, kind in ports.signatures(only).items():
                if kind in self._kinds[number]:
                    continue
                if port in after.views[number].trunks:
                    raise StartAnew("a port to another switch is of a new kind")
                self._new_kind(proof, expectation, port, ports.borrowed)
                self._kinds[number].add(kind)

    def _judge_of(self, moment: Moment) -> Judge:
        self._judge = self._judge.following(moment.policy, moment.membership)
        return self._judge

    def _flooding(self, proof: SwitchProof, ports: Collection[int]) -> None:
        """Multicast leaves by other ports than before: tried with what met such rules, from two
        ports that are as they were."""
        before: dict[Flood, set[int]] = {}
        again: dict[Flood, set[int]] = {}
        for (port, flood), (packet, state) in list(proof.flooded.items()):
            before.setdefault(flood, set()).add(port)
            if port not in ports and flood == proof.floods(packet, state):
                again.setdefault(flood, set()).add(port)
        if any(len(again.get(flood, ())) < min(2, len(some)) for flood, some in before.items()):
            proof.flooded.clear()
            proof.requests()
            proof.try_all(group_packets(proof.world, proof.expectation, False))
            if not before.keys() <= {flood for _, flood in proof.flooded}:
                raise StartAnew("nothing is left to try multicast with")
        if proof.found or proof.later:
            raise StartAnew("multicast goes otherwise than it should")

    def _look_at_lent(self, touched: AffectedRules) -> None:
        """Addresses that are bound now, or no longer, where routers must not borrow them."""
        for number, proof in self._switches.items():
            rules = touched.lent.get(number, [])
            places = proof.expectation.places
            if not rules and not any(switch == number for switch, _, _ in places.routers):
                continue
            numbers = set(touched.numbers)
            for low, high in (each for rule in rules for each in covered(rule)):
                if high - low > MOST_BOUND:
                    raise StartAnew("a large prefix is bound, or no longer")
                numbers |= set(range(low, high + 1))
            proof.lent(rules, numbers)
            if proof.found or proof.later:
                raise StartAnew("an address may be borrowed")

    def _new_kind(
        self,
        proof: SwitchProof,
        expectation: Expectation,
        port: int,
        borrowed: dict[int, dict[str, set[int]]],
    ) -> None:
        """Prove a port that is like none before."""
        world = replace(
            proof.world,
            edges=[port],
            trunks=[],
            edge_kinds=[port],
            trunk_kinds=[],
            borrowed=borrowed,
        )
        setting = Setting(proof.tables, expectation, proof.shared, world, proof.loose, 1)
        check = SwitchProof(setting)
        check.entries()
        check.requests()
        check.flows()
        if check.found or check.later or check.unproven:
            raise StartAnew("a port is treated otherwise than it should be")
        proof.flooded |= check.flooded

    def _look_at_targets(self, touched: AffectedRules) -> None:
        for targets in {id(each): each for each in self._targets.values()}.values():
            for name in ANCHORS:
                values = touched.targets.get(name, ())
                for kind in targets.signatures(name, values).values():
                    if kind in targets.kinds[name]:
                        continue
                    place, marks, does, rules = kind
                    stranger = targets.marks(name, STRANGERS[name])
                    if place is not None or does != NOTHING_SAID or rules or marks != stranger:
                        raise StartAnew("a target is of a new kind")

    def _look_at_tiers(
        self, key: int, shared: Shared, before: Moment, after: Moment, touched: AffectedRules
    ) -> int:
        """The addresses that changed, and what the changed rules and intents are about."""
        assert shared.ends is not None
        spans = after.membership.changes_since(before.membership)
        shared.membership = after.membership
        fresh = []
        for end, classes in enumerate(shared.ends):
            new = classes.change(touched.chain, spans, finder(after.membership))
            if classes.strange:
                raise StartAnew("an address is identified in an unusual way")
            fresh.append(new)
            if new:
                kinds = set(shared.kinds(end, self._live(key), new))
                if not kinds <= self._modes[key][end]:
                    raise StartAnew("an end is of a new mode")
        one, other = before.live(), after.live()
        names = {
            name
            for name in one.keys() | other.keys()
            if one.get(name) is not other.get(name) and one.get(name) != other.get(name)
        }
        if not (names or touched.tiers or any(fresh)):
            return 0
        old = shared.judging
        judging = Judging(shared.ends[0].classes, shared.ends[1].classes, old)
        judging.read_intents(after.policy, after.now)
        tables = next(p.tables for p in self._switches.values() if p.shared is shared)
        judging.read_rules(tables)
        if not judging.leaves() <= self._leaves[key]:
            raise StartAnew("the tiers are left in a new way")
        causes = {rule.cookie for rule in touched.tiers}
        boxes = [
            box
            for each in (old, judging)
            for box in (*each.rules, *each.intents)
            if box.rule is not None
            and box.rule.cookie in causes
            and box.rule in touched.tiers
            or box.intent is not None
            and box.intent.name in names
        ]
        regions = _regions(boxes)
        every = (judging.sources.every, judging.targets.every)
        if fresh[0]:
            regions.append((fresh[0], every[1], EVERY_SERVICE))
        if fresh[1]:
            regions.append((every[0], fresh[1], EVERY_SERVICE))
        if len(regions) > MOST or not judging.agree_within(regions):
            raise StartAnew("rules and intents may differ")
        shared.judging = judging
        return len(regions)


def _regions(boxes: Iterable[Box]) -> list[Region]:
    """Boxes over the same ends as one."""
    found: dict[tuple[int, int], list[Ranges]] = {}
    for box in boxes:
        found.setdefault((box.sources, box.targets), []).append(box.services)
    return [
        (*ends, joined(each for part in parts for each in part)) for ends, parts in found.items()
    ]

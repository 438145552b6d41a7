"""A region cut along what the policy tells apart, with what must happen to each part.

The same meaning as `policies.verify.stateless.meaning`, for sets of packets at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.model import Action
from policies.verify.packets import ADVERTISE, ARP, BRIDGE_LOCAL, IP, IPV6, LLDP, MULTICAST
from policies.verify.stateless.fields import Fields, narrowed
from policies.verify.stateless.meaning import DROPPED, FLOOD, REPORTED, Fate, Meaning, SmallMeaning
from policies.verify.stateless.senders import Sender, Senders
from policies.verify.stateless.shapes import Region, Shape, Universe
from policies.verify.stateless.verdicts import Judged, SegmentVerdicts


class Parts:
    """Cuts regions of shapes of one universe."""

    def __init__(self, meaning: Meaning, universe: Universe) -> None:
        self.meaning = meaning
        self._small = isinstance(meaning, SmallMeaning)
        self._fields = Fields(meaning, universe)
        self._words = SegmentVerdicts(meaning, self._fields)
        self._senders = Senders(meaning, self._fields)
        self.atoms, self.senders = self._fields.atoms, self._senders.of

    def judged(
        self, shape: Shape, region: Region, sender: Sender
    ) -> Iterator[tuple[Region, Judged | None]]:
        """An IP region apart by the policy's word; None where it is not asked."""
        at = shape.fields.index
        name = "ip_dst" if shape.kind == IP else "ipv6_dst"
        asked = region
        if not sender.edge and not self._small:
            inside = region[at("eth_dst")] & self._fields.local
            if inside != region[at("eth_dst")]:
                yield narrowed(region, at("eth_dst"), region[at("eth_dst")] & ~inside), None
            if not inside:
                return
            asked = narrowed(region, at("eth_dst"), inside)
        assert sender.segments is not None
        for bits, segments in self._fields.by_segments(name, asked[at(name)]):
            towards = narrowed(asked, at(name), bits)
            ranges, one, other = self._words.between(sender.segments, segments, shape)
            for first, second, word in ranges:
                part = towards
                if one:
                    part = narrowed(part, at(one), first & part[at(one)])
                if other:
                    part = narrowed(part, at(other), second & part[at(other)])
                if all(part):
                    yield part, word

    def fates(
        self, shape: Shape, region: Region, sender: Sender, word: tuple[Judged | None] | None
    ) -> Iterator[tuple[Region, Fate]]:
        """What must happen to each part; ``word`` is the policy's, where that is known already."""
        at = shape.fields.index
        if shape.kind == LLDP:
            yield region, REPORTED
            return
        macs = self._fields.atoms("eth_dst")
        reserved = region[at("eth_dst")] & macs.between(BRIDGE_LOCAL, BRIDGE_LOCAL | 0xF)
        if reserved:
            yield narrowed(region, at("eth_dst"), reserved), DROPPED
            if reserved == region[at("eth_dst")]:
                return
            region = narrowed(region, at("eth_dst"), region[at("eth_dst")] & ~reserved)
        if self._small:
            yield from self._small_fates(shape, region, sender)
        elif not sender.known:
            yield region, REPORTED
        elif shape.kind == ARP or shape.neighbour:
            yield from self._question(shape, region, sender.edge)
        else:
            yield from self._sent(shape, region, sender, word)

    def _sent(
        self, shape: Shape, region: Region, sender: Sender, word: tuple[Judged | None] | None
    ) -> Iterator[tuple[Region, Fate]]:
        at = shape.fields.index("eth_dst")
        many = region[at] & self._fields.atoms("eth_dst").matching(MULTICAST, MULTICAST)
        if many:
            yield narrowed(region, at, many), DROPPED
        if many == region[at]:
            return
        region = narrowed(region, at, region[at] & ~many)
        if shape.kind not in (IP, IPV6):
            yield from self._along(shape, region, None)
            return
        parts = self.judged(shape, region, sender) if word is None else [(region, word[0])]
        for part, said in parts:
            yield from self._along(shape, part, said)

    def _along(
        self, shape: Shape, region: Region, word: Judged | None
    ) -> Iterator[tuple[Region, Fate]]:
        """To the owner of the target MAC, if the policy says so."""
        first, reply = (None, None) if word is None else word[1:]
        judged = word is not None
        if word is not None and not word[0]:
            yield region, Fate(None, False, first, reply, True)
            return
        at = shape.fields.index("eth_dst")
        for way, bits in self._fields.ways.items():
            if region[at] & bits:
                yield (
                    narrowed(region, at, region[at] & bits),
                    Fate(way, False, first, reply, judged),
                )

    def _question(self, shape: Shape, region: Region, edge: bool) -> Iterator[tuple[Region, Fate]]:
        at, infrastructure = shape.fields.index, self.meaning.infrastructure
        allowed = infrastructure.nd if shape.neighbour else infrastructure.arp
        if allowed is not Action.ALLOW:
            yield region, DROPPED
            return
        lost = REPORTED if edge else DROPPED
        asking, answering = [region], [region]
        if shape.kind == ARP:
            operations = self._fields.atoms("arp_op")
            asks = region[at("arp_op")] & operations.one(1)
            answers = region[at("arp_op")] & operations.one(2)
            rest = region[at("arp_op")] & ~asks & ~answers
            if rest:
                yield narrowed(region, at("arp_op"), rest), lost
            asking = [narrowed(region, at("arp_op"), asks)] if asks else []
            answering = [narrowed(region, at("arp_op"), answers)] if answers else []
        elif shape.neighbour == ADVERTISE:
            asking = []
        else:
            answering = []
        for part in asking:
            yield from self._asked(shape, part, lost)
        for part in answering:
            many = part[at("eth_dst")] & self._fields.atoms("eth_dst").matching(
                MULTICAST, MULTICAST
            )
            if many:
                yield narrowed(part, at("eth_dst"), many), lost
            if many != part[at("eth_dst")]:
                single = narrowed(part, at("eth_dst"), part[at("eth_dst")] & ~many)
                yield from self._along(shape, single, None)

    def _asked(self, shape: Shape, region: Region, lost: Fate) -> Iterator[tuple[Region, Fate]]:
        name = "nd_target" if shape.neighbour else "arp_tpa"
        at = shape.fields.index(name)
        rest = region[at]
        for way, bits in self._fields.owners(name).items():
            if way is not None and bits & rest:
                yield narrowed(region, at, bits & rest), Fate(way)
                rest &= ~bits
        if rest:
            yield narrowed(region, at, rest), lost

    def _small_fates(
        self, shape: Shape, region: Region, sender: Sender
    ) -> Iterator[tuple[Region, Fate]]:
        if shape.kind == ARP or shape.neighbour:
            if sender.edge:
                yield region, Fate(FLOOD) if sender.known else REPORTED
                return
            for part, fate in self._question(shape, region, True):
                yield part, Fate(fate.output, None)
            return
        if shape.kind not in (IP, IPV6):
            yield region, REPORTED
            return
        name = "ip_dst" if shape.kind == IP else "ipv6_dst"
        at, here = shape.fields.index(name), self.meaning.view.switch
        rest = region[at]
        targets: dict[tuple[int, bool], set[int]] = {}
        for number, place in self.meaning.places.numbers.items():
            way = self.meaning.way(place)
            if way is not None:
                targets.setdefault((way, place[0] == here), set()).add(number)
        for (way, local), own in targets.items():
            bits = self._fields.owned(name, own) & rest
            rest &= ~bits
            if not bits:
                continue
            part = narrowed(region, at, bits)
            if not sender.edge and not local:
                yield part, Fate(way, None)
            elif not sender.known:
                yield part, Fate(report=None)
            else:
                for each, word in self.judged(shape, part, sender):
                    assert word is not None
                    yield each, Fate(way if word[0] else None, None, word[1], word[2], True)
        if rest:
            yield narrowed(region, at, rest), Fate(report=None)

"""A region cut along who sends it, and whether they may send from that address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policies.model import Action
from policies.semantics.prefix_sets import SIX
from policies.verify.packets import ARP, IP, IPV6, SOLICIT
from policies.verify.stateless.fields import Fields, Segments, narrowed, union
from policies.verify.stateless.meaning import Meaning, SmallMeaning
from policies.verify.stateless.shapes import Region, Shape


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: ``segments`` of an IP source; ``known`` False for addresses nobody may use."""

    edge: bool
    known: bool
    segments: Segments | None = None


REFUSED = Sender(True, False)


class Senders:
    """Who may send what, for regions of one universe."""

    def __init__(self, meaning: Meaning, fields: Fields) -> None:
        self._meaning, self._fields = meaning, fields
        self._small = isinstance(meaning, SmallMeaning)

    def of(self, shape: Shape, region: Region) -> Iterator[tuple[Region, Sender]]:
        """A region apart by who sends it."""
        at = shape.fields.index
        ports = self._fields.atoms("in_port")
        view, held = self._meaning.view, self._meaning.places.held
        trunks = union(ports.one(port) for port in view.trunks)
        if region[at("in_port")] & trunks:
            yield from self._from_trunk(shape, narrowed(region, at("in_port"), trunks))
        others = region[at("in_port")] & ~trunks
        for switch, port in held:
            bit = ports.one(port)
            if switch != view.switch or not bit & others:
                continue
            others &= ~bit
            mine = narrowed(region, at("in_port"), bit)
            macs = mine[at("eth_src")]
            for mac, own in held[switch, port].items():
                bit = self._fields.atoms("eth_src").one(mac)
                if bit & macs:
                    macs &= ~bit
                    host = narrowed(mine, at("eth_src"), bit)
                    yield from self._own(shape, host, (switch, port, mac), own)
            if macs:
                yield narrowed(mine, at("eth_src"), macs), REFUSED
        if others:
            yield narrowed(region, at("in_port"), others), REFUSED

    def _from_trunk(self, shape: Shape, region: Region) -> Iterator[tuple[Region, Sender]]:
        name = {IP: "ip_src", IPV6: "ipv6_src"}.get(shape.kind)
        if name is None or shape.neighbour:
            yield region, Sender(False, True)
            return
        at = shape.fields.index(name)
        rest = region[at]
        if self._small:
            places, here = self._meaning.places.numbers, self._meaning.view.switch
            far = (
                n for n, p in places.items() if p[0] != here and self._meaning.way(p) is not None
            )
            known = self._fields.owned(name, far)
            if rest & ~known:
                yield narrowed(region, at, rest & ~known), Sender(False, False)
            rest &= known
        for bits, segments in self._fields.by_segments(name, rest):
            yield narrowed(region, at, bits), Sender(False, True, segments)

    def _own(
        self, shape: Shape, region: Region, place: tuple[int, int, int], own: set[int]
    ) -> Iterator[tuple[Region, Sender]]:
        """A host's own port and MAC: which addresses it may use."""
        infrastructure, mac = self._meaning.infrastructure, place[2]
        good = Sender(True, True)
        if shape.kind == ARP:
            if infrastructure.arp is not Action.ALLOW:
                yield region, REFUSED
                return
            owned = self._fields.owned("arp_spa", own)
            probe = {
                "arp_spa": self._fields.atoms("arp_spa").one(0),
                "arp_op": self._fields.atoms("arp_op").one(1),
            }
            probe["arp_tpa"] = self._fields.owned("arp_tpa", own)
            sha = {"arp_sha": self._fields.atoms("arp_sha").one(mac)}
            yield from _chosen(shape, region, ({"arp_spa": owned, **sha}, {**probe, **sha}), good)
        elif shape.neighbour:
            if infrastructure.nd is not Action.ALLOW:
                yield region, REFUSED
                return
            target = {"nd_target": self._fields.owned("nd_target", own)}
            name = "nd_sll" if shape.neighbour == SOLICIT else "nd_tll"
            link = {name: self._fields.atoms(name).one(mac) | self._fields.atoms(name).one(0)}
            owned = self._fields.owned("ipv6_src", own)
            ways = [{**target, **link, "ipv6_src": owned}]
            if shape.neighbour == SOLICIT:
                nobody = self._fields.atoms("ipv6_src").one(0)
                ways = [{"ipv6_src": nobody, **target}, {"ipv6_src": owned & ~nobody, **link}]
            yield from _chosen(shape, region, ways, good)
        elif shape.kind in (IP, IPV6):
            name = "ip_src" if shape.kind == IP else "ipv6_src"
            at = shape.fields.index(name)
            owned = self._fields.owned(name, own) | self._forwarded(name, place)
            for bits, segments in self._fields.by_segments(name, region[at] & owned):
                yield narrowed(region, at, bits), Sender(True, True, segments)
            if region[at] & ~owned:
                yield narrowed(region, at, region[at] & ~owned), REFUSED
        else:
            yield region, REFUSED  # neither IP nor ARP

    def _forwarded(self, name: str, place: tuple[int, int, int]) -> int:
        """The sources behind a router."""
        places, six = self._meaning.places, SIX if name == "ipv6_src" else 0
        if place not in places.routers:
            return 0
        values = enumerate(self._fields.atoms(name).values)
        return sum(1 << n for n, value in values if places.forwards(*place, value | six))


def _chosen(
    shape: Shape, region: Region, ways: Iterable[dict[str, int]], good: Sender
) -> Iterator[tuple[Region, Sender]]:
    """The parts that any of some conditions covers, and the rest, which is refused."""
    rest = [region]
    for way in ways:
        left: list[Region] = []
        for part in rest:
            for name, bits in way.items():
                at = shape.fields.index(name)
                if part[at] & ~bits:
                    left.append(narrowed(part, at, part[at] & ~bits))
                part = narrowed(part, at, part[at] & bits)
                if not part[at]:
                    break
            else:
                yield part, good
        rest = left
    yield from ((part, REFUSED) for part in rest)

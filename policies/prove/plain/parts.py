"""A region cut along what the policy tells apart, with what must happen to each part.

The same meaning as `policies.prove.plain.meaning`, for sets of packets at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from policies.model import ANY, ICMP, ICMPV6, UNKNOWN, Action, Service
from policies.prove.expect import (
    ADVERTISE,
    ARP,
    BRIDGE_LOCAL,
    IP,
    IPV6,
    LLDP,
    MULTICAST,
    QUERY_OF,
    SOLICIT,
    label_of,
)
from policies.prove.plain.atoms import Atoms
from policies.prove.plain.meaning import (
    ASKING,
    DROPPED,
    FLOOD,
    PRIVILEGED,
    REPORTED,
    STREAMS,
    Fate,
    Meaning,
    SmallMeaning,
)
from policies.prove.plain.shapes import PORTS, Region, Shape, Universe
from policies.regions import SIX
from policies.spaces import service_ranges, verdicts

Segments = frozenset[str]
Judged = tuple[bool, int, int | None]  # passes, cookie as a first packet, cookie as an answer


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: ``segments`` of an IP source; ``known`` False for addresses nobody may use."""

    edge: bool
    known: bool
    segments: Segments | None = None


REFUSED = Sender(True, False)


class Parts:
    """Cuts regions of shapes of one universe."""

    def __init__(self, meaning: Meaning, universe: Universe) -> None:
        self.meaning, self._universe = meaning, universe
        self._small = isinstance(meaning, SmallMeaning)
        self._pairs: dict[
            tuple[Segments, Segments, int], tuple[dict[Service, tuple[bool, int]], ...]
        ] = {}
        self._between: dict[
            tuple[Segments, Segments, Shape], tuple[list[tuple[int, int, Judged]], str, str]
        ] = {}
        self._groups: dict[str, dict[int, Segments]] = {}

    # Fields by what they mean

    def atoms(self, name: str) -> Atoms:
        return self._universe.atoms(name)

    @cached_property
    def _ways(self) -> dict[int | None, int]:
        """Target MACs by the port that leads to them."""
        found: dict[int | None, int] = {}
        atoms, rest = self.atoms("eth_dst"), self.atoms("eth_dst").all
        for mac, place in self.meaning.places.macs.items():
            way = self.meaning.way(place)
            found[way] = found.get(way, 0) | atoms.one(mac)
            rest &= ~atoms.one(mac)
        found[None] = found.get(None, 0) | rest
        return found

    @cached_property
    def _local(self) -> int:
        here = self.meaning.view.switch
        macs = (mac for mac, place in self.meaning.places.macs.items() if place[0] == here)
        return _union(self.atoms("eth_dst").one(mac) for mac in macs)

    def _owned(self, name: str, numbers_of: Iterable[int]) -> int:
        six = SIX if name in ("ipv6_src", "ipv6_dst", "nd_target") else 0
        own = (number & ~SIX for number in numbers_of if number & SIX == six)
        return _union(self.atoms(name).one(number) for number in own)

    def by_segments(self, name: str, bits: int) -> Iterator[tuple[int, Segments]]:
        """Some addresses, apart by their segments."""
        groups = self._groups.get(name)
        if groups is None:
            found: dict[Segments, int] = {}
            six = SIX if name.startswith("ipv6") else 0
            for number, value in enumerate(self.atoms(name).values):
                segments = self.meaning.membership.segments_of_number(value | six)
                found[segments] = found.get(segments, 0) | 1 << number
            groups = self._groups[name] = {group: segments for segments, group in found.items()}
        for group, segments in groups.items():
            if group & bits:
                yield group & bits, segments

    # Senders

    def senders(self, shape: Shape, region: Region) -> Iterator[tuple[Region, Sender]]:
        """A region apart by who sends it."""
        at = shape.fields.index
        ports = self.atoms("in_port")
        view, held = self.meaning.view, self.meaning.places.held
        trunks = _union(ports.one(port) for port in view.trunks)
        if region[at("in_port")] & trunks:
            yield from self._from_trunk(shape, _with(region, at("in_port"), trunks))
        others = region[at("in_port")] & ~trunks
        for switch, port in held:
            bit = ports.one(port)
            if switch != view.switch or not bit & others:
                continue
            others &= ~bit
            mine = _with(region, at("in_port"), bit)
            macs = mine[at("eth_src")]
            for mac, own in held[switch, port].items():
                bit = self.atoms("eth_src").one(mac)
                if bit & macs:
                    macs &= ~bit
                    host = _with(mine, at("eth_src"), bit)
                    yield from self._own(shape, host, (switch, port, mac), own)
            if macs:
                yield _with(mine, at("eth_src"), macs), REFUSED
        if others:
            yield _with(region, at("in_port"), others), REFUSED

    def _from_trunk(self, shape: Shape, region: Region) -> Iterator[tuple[Region, Sender]]:
        name = {IP: "ip_src", IPV6: "ipv6_src"}.get(shape.kind)
        if name is None or shape.neighbour:
            yield region, Sender(False, True)
            return
        at = shape.fields.index(name)
        rest = region[at]
        if self._small:
            places, here = self.meaning.places.numbers, self.meaning.view.switch
            far = (n for n, p in places.items() if p[0] != here and self.meaning.way(p) is not None)
            known = self._owned(name, far)
            if rest & ~known:
                yield _with(region, at, rest & ~known), Sender(False, False)
            rest &= known
        for bits, segments in self.by_segments(name, rest):
            yield _with(region, at, bits), Sender(False, True, segments)

    def _own(
        self, shape: Shape, region: Region, place: tuple[int, int, int], own: set[int]
    ) -> Iterator[tuple[Region, Sender]]:
        """A host's own port and MAC: which addresses it may use."""
        infrastructure, mac = self.meaning.infrastructure, place[2]
        good = Sender(True, True)
        if shape.kind == ARP:
            if infrastructure.arp is not Action.ALLOW:
                yield region, REFUSED
                return
            owned = self._owned("arp_spa", own)
            probe = {"arp_spa": self.atoms("arp_spa").one(0), "arp_op": self.atoms("arp_op").one(1)}
            probe["arp_tpa"] = self._owned("arp_tpa", own)
            sha = {"arp_sha": self.atoms("arp_sha").one(mac)}
            yield from _chosen(shape, region, ({"arp_spa": owned, **sha}, {**probe, **sha}), good)
        elif shape.neighbour:
            if infrastructure.nd is not Action.ALLOW:
                yield region, REFUSED
                return
            target = {"nd_target": self._owned("nd_target", own)}
            name = "nd_sll" if shape.neighbour == SOLICIT else "nd_tll"
            link = {name: self.atoms(name).one(mac) | self.atoms(name).one(0)}
            owned = self._owned("ipv6_src", own)
            ways = [{**target, **link, "ipv6_src": owned}]
            if shape.neighbour == SOLICIT:
                nobody = self.atoms("ipv6_src").one(0)
                ways = [{"ipv6_src": nobody, **target}, {"ipv6_src": owned & ~nobody, **link}]
            yield from _chosen(shape, region, ways, good)
        elif shape.kind in (IP, IPV6):
            name = "ip_src" if shape.kind == IP else "ipv6_src"
            at = shape.fields.index(name)
            owned = self._owned(name, own) | self._forwarded(name, place)
            for bits, segments in self.by_segments(name, region[at] & owned):
                yield _with(region, at, bits), Sender(True, True, segments)
            if region[at] & ~owned:
                yield _with(region, at, region[at] & ~owned), REFUSED
        else:
            yield region, REFUSED  # neither IP nor ARP

    def _forwarded(self, name: str, place: tuple[int, int, int]) -> int:
        """The sources behind a router."""
        places, six = self.meaning.places, SIX if name == "ipv6_src" else 0
        if place not in places.routers:
            return 0
        values = enumerate(self.atoms(name).values)
        return sum(1 << n for n, value in values if places.forwards(*place, value | six))

    # Fates

    def judged(
        self, shape: Shape, region: Region, sender: Sender
    ) -> Iterator[tuple[Region, Judged | None]]:
        """An IP region apart by the policy's word; None where it is not asked."""
        at = shape.fields.index
        name = "ip_dst" if shape.kind == IP else "ipv6_dst"
        asked = region
        if not sender.edge and not self._small:
            inside = region[at("eth_dst")] & self._local
            if inside != region[at("eth_dst")]:
                yield _with(region, at("eth_dst"), region[at("eth_dst")] & ~inside), None
            if not inside:
                return
            asked = _with(region, at("eth_dst"), inside)
        assert sender.segments is not None
        for bits, segments in self.by_segments(name, asked[at(name)]):
            narrowed = _with(asked, at(name), bits)
            ranges, one, other = self._decided(sender.segments, segments, shape)
            for first, second, word in ranges:
                part = narrowed
                if one:
                    part = _with(part, at(one), first & part[at(one)])
                if other:
                    part = _with(part, at(other), second & part[at(other)])
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
        macs = self.atoms("eth_dst")
        reserved = region[at("eth_dst")] & macs.between(BRIDGE_LOCAL, BRIDGE_LOCAL | 0xF)
        if reserved:
            yield _with(region, at("eth_dst"), reserved), DROPPED
            if reserved == region[at("eth_dst")]:
                return
            region = _with(region, at("eth_dst"), region[at("eth_dst")] & ~reserved)
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
        many = region[at] & self.atoms("eth_dst").matching(MULTICAST, MULTICAST)
        if many:
            yield _with(region, at, many), DROPPED
        if many == region[at]:
            return
        region = _with(region, at, region[at] & ~many)
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
        for way, bits in self._ways.items():
            if region[at] & bits:
                yield _with(region, at, region[at] & bits), Fate(way, False, first, reply, judged)

    def _question(self, shape: Shape, region: Region, edge: bool) -> Iterator[tuple[Region, Fate]]:
        at, infrastructure = shape.fields.index, self.meaning.infrastructure
        allowed = infrastructure.nd if shape.neighbour else infrastructure.arp
        if allowed is not Action.ALLOW:
            yield region, DROPPED
            return
        lost = REPORTED if edge else DROPPED
        asking, answering = [region], [region]
        if shape.kind == ARP:
            operations = self.atoms("arp_op")
            asks = region[at("arp_op")] & operations.one(1)
            answers = region[at("arp_op")] & operations.one(2)
            rest = region[at("arp_op")] & ~asks & ~answers
            if rest:
                yield _with(region, at("arp_op"), rest), lost
            asking = [_with(region, at("arp_op"), asks)] if asks else []
            answering = [_with(region, at("arp_op"), answers)] if answers else []
        elif shape.neighbour == ADVERTISE:
            asking = []
        else:
            answering = []
        for part in asking:
            yield from self._asked(shape, part, lost)
        for part in answering:
            many = part[at("eth_dst")] & self.atoms("eth_dst").matching(MULTICAST, MULTICAST)
            if many:
                yield _with(part, at("eth_dst"), many), lost
            if many != part[at("eth_dst")]:
                single = _with(part, at("eth_dst"), part[at("eth_dst")] & ~many)
                yield from self._along(shape, single, None)

    def _asked(self, shape: Shape, region: Region, lost: Fate) -> Iterator[tuple[Region, Fate]]:
        name = "nd_target" if shape.neighbour else "arp_tpa"
        at = shape.fields.index(name)
        rest = region[at]
        for way, bits in self._owners(name).items():
            if way is not None and bits & rest:
                yield _with(region, at, bits & rest), Fate(way)
                rest &= ~bits
        if rest:
            yield _with(region, at, rest), lost

    def _owners(self, name: str) -> dict[int | None, int]:
        """Addresses by the port that leads to who has them."""
        found: dict[int | None, set[int]] = {}
        for number, place in self.meaning.places.numbers.items():
            found.setdefault(self.meaning.way(place), set()).add(number)
        return {way: self._owned(name, own) for way, own in found.items()}

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
            bits = self._owned(name, own) & rest
            rest &= ~bits
            if not bits:
                continue
            part = _with(region, at, bits)
            if not sender.edge and not local:
                yield part, Fate(way, None)
            elif not sender.known:
                yield part, Fate(report=None)
            else:
                for each, word in self.judged(shape, part, sender):
                    assert word is not None
                    yield each, Fate(way if word[0] else None, None, word[1], word[2], True)
        if rest:
            yield _with(region, at, rest), Fate(report=None)

    # Verdicts

    def _decided(
        self, source: Segments, target: Segments, shape: Shape
    ) -> tuple[list[tuple[int, int, Judged]], str, str]:
        """The policy's word for all packets between two sets of segments: for atoms of two
        fields (named; empty for none)."""
        key = (source, target, shape)
        if key not in self._between:
            self._between[key] = self._decide(source, target, shape)
        return self._between[key]

    def _decide(
        self, source: Segments, target: Segments, shape: Shape
    ) -> tuple[list[tuple[int, int, Judged]], str, str]:
        proto = shape.proto
        assert proto is not None
        version = 4 if shape.kind == IP else 6
        forth, back = (self._services(*p, version) for p in ((source, target), (target, source)))
        if (name := PORTS.get(proto)) is not None:
            one, other = f"{name}_dst", f"{name}_src"
            first = list(self._ranges(forth, proto, self.atoms(one)))
            reply = list(self._ranges(back, proto, self.atoms(other)))
            never = 0
            if self.meaning.masks and proto in STREAMS:
                never = self.atoms(one).between(0, PRIVILEGED - 1)
            every = self.atoms(other).all
            found: list[tuple[int, int, Judged]] = [
                (b & never, every, (ok, label, None)) for b, (ok, label) in first
            ]
            found += [
                (b & ~never, s, (ok or answer, label, said))
                for b, (ok, label) in first
                for s, (answer, said) in reply
            ]
            return [each for each in found if each[0] and each[1]], one, other
        if (version, proto) in ((4, ICMP), (6, ICMPV6)):
            name = "icmp_type" if version == 4 else "icmpv6_type"
            return list(self._types(forth, back, proto, self.atoms(name))), name, ""
        ok, label = _of_proto(forth, proto)[0][1]
        answer, said = _of_proto(back, proto)[0][1]
        return [(1, 1, (ok or answer, label, said))], "", ""

    def _types(
        self,
        forth: dict[Service, tuple[bool, int]],
        back: dict[Service, tuple[bool, int]],
        proto: int,
        atoms: Atoms,
    ) -> Iterator[tuple[int, int, Judged]]:
        grouped: dict[Judged, int] = {}
        for number, kind in enumerate(atoms.values):
            ok, label = _of_kind(forth, proto, kind)
            word: Judged = (ok, label, None)
            if (proto, kind) not in ASKING:
                answer, said = _of_kind(back, proto, QUERY_OF.get((proto, kind), kind))
                word = (ok or answer, label, said)
            grouped[word] = grouped.get(word, 0) | 1 << number
        return ((bits, 1, word) for word, bits in grouped.items())

    @staticmethod
    def _ranges(
        found: dict[Service, tuple[bool, int]], proto: int, atoms: Atoms
    ) -> Iterator[tuple[int, tuple[bool, int]]]:
        for service, word in _of_proto(found, proto):
            if service.low is None or service.high is None:
                yield atoms.all, word
            else:
                yield atoms.between(service.low, service.high), word

    def _services(
        self, source: Segments, target: Segments, version: int
    ) -> dict[Service, tuple[bool, int]]:
        """For each range of services whether it passes as a first packet, and by which cookie."""
        key = (source, target, version)
        if key not in self._pairs:
            meaning = self.meaning
            near = [
                intent
                for intent in meaning.policy.intents
                if _meets(intent.sources, source) and _meets(intent.targets, target)
            ]
            ranges = service_ranges(near, version)
            said = verdicts(meaning.judge, source, target, ranges, version, meaning.now)
            words = [(verdict.forwarded, label_of(verdict)[1]) for verdict in said]
            self._pairs[key] = (dict(zip(ranges, words, strict=True)),)
        return self._pairs[key][0]


def _meets(names: Iterable[str], segments: Segments) -> bool:
    return any(
        name == ANY or name in segments or (name == UNKNOWN and not segments) for name in names
    )


def _of_proto(
    found: dict[Service, tuple[bool, int]], proto: int
) -> list[tuple[Service, tuple[bool, int]]]:
    """The ranges of a protocol, or what holds for those that are not named."""
    own = [(service, word) for service, word in found.items() if service.proto == proto]
    return own or [(Service(), found[Service()])]


def _of_kind(found: dict[Service, tuple[bool, int]], proto: int, kind: int) -> tuple[bool, int]:
    for service, word in _of_proto(found, proto):
        if service.low is None or service.high is None or service.low <= kind <= service.high:
            return word
    return found[Service()]


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
                    left.append(_with(part, at, part[at] & ~bits))
                part = _with(part, at, part[at] & bits)
                if not part[at]:
                    break
            else:
                yield part, good
        rest = left
    yield from ((part, REFUSED) for part in rest)


def _with(region: Region, at: int, bits: int) -> Region:
    """A region with other atoms in one field; only where they lie inside."""
    kept = region[at] & bits
    return (*region[:at], kept, *region[at + 1 :])


def _union(sets: Iterable[int]) -> int:
    found = 0
    for bits in sets:
        found |= bits
    return found

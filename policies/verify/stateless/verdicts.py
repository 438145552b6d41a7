"""The policy's word for all packets between two sets of segments at once."""

from __future__ import annotations

from collections.abc import Iterator

from policies.model import ICMP, ICMPV6, Service
from policies.semantics.service_partition import service_ranges, verdicts
from policies.verify.differing import label_of
from policies.verify.packets import IP, QUERY_OF
from policies.verify.stateless.atoms import Atoms
from policies.verify.stateless.fields import Fields, Segments
from policies.verify.stateless.meaning import ASKING, STREAMS, Meaning
from policies.verify.stateless.shapes import PORTS, Shape
from topology.initiator import PRIVILEGED

Judged = tuple[bool, int, int | None]  # passes, cookie as a first packet, cookie as an answer


class SegmentVerdicts:
    """Verdicts between segments, kept once asked for."""

    def __init__(self, meaning: Meaning, fields: Fields) -> None:
        self._meaning, self._fields = meaning, fields
        self._pairs: dict[
            tuple[Segments, Segments, int], tuple[dict[Service, tuple[bool, int]], ...]
        ] = {}
        self._between: dict[
            tuple[Segments, Segments, Shape], tuple[list[tuple[int, int, Judged]], str, str]
        ] = {}

    def between(
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
            first = list(self._ranges(forth, proto, self._fields.atoms(one)))
            reply = list(self._ranges(back, proto, self._fields.atoms(other)))
            never = 0
            if self._meaning.masks and proto in STREAMS:
                never = self._fields.atoms(one).between(0, PRIVILEGED - 1)
            every = self._fields.atoms(other).all
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
            return list(self._types(forth, back, proto, self._fields.atoms(name))), name, ""
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
            meaning = self._meaning
            ranges = service_ranges(meaning.judge.between(source, target), version)
            said = verdicts(meaning.judge, source, target, ranges, version, meaning.now)
            words = [(verdict.forwarded, label_of(verdict)[1]) for verdict in said]
            self._pairs[key] = (dict(zip(ranges, words, strict=True)),)
        return self._pairs[key][0]


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

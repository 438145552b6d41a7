"""Which faulty rules change what a switch does: decided without the prover.

Packets, drawn at random and towards the faulty rule, run through the rules with and without the
fault in `policies.rules.simulator`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from policies.compiler import SwitchView
from policies.model import Policy
from policies.rules import layout
from policies.rules.conntrack import is_untrackable
from policies.rules.fields import width_of
from policies.rules.layout import Category, RuleTable, category_of
from policies.rules.rule import (
    Commit,
    CopyToController,
    Learn,
    Load,
    Rule,
    RuleAction,
    Track,
    UseMeter,
)
from policies.rules.simulator import Interpreter, Passage, matches
from policies.semantics.membership import Membership
from policies.verify.fragments import LATER, fragment_of
from policies.verify.packets import ARP
from tests.support.probe_packets import Draw, ProbePacket
from topology.records import Binding

SINGLE = ("eth_type", "ip_proto", "icmpv6_type")  # a packet of another kind has other fields
# As if every connection had its learned counting rule already.
COUNTED = Rule(RuleTable.COUNT, 100, (), (Load(layout.COUNTED, 1),), 0)
AIMED = 150  # packets towards each rule of a fault
Visit = tuple[int, dict[str, int]]


@dataclass(slots=True)
class TracedPassage:
    """What one packet met: its passage, and every table with the fields it had there."""

    passage: Passage
    visits: list[Visit] = field(default_factory=list)
    events: list[object] = field(default_factory=list)


class TracingSimulator(Interpreter):
    """An interpreter that keeps the fields with which a packet came to each table."""

    def look(self, probe: ProbePacket) -> TracedPassage:
        self._visits: list[Visit] = []
        self._events: list[object] = []
        self._came = probe.packet
        passage = self.run(probe.packet, probe.state)
        return TracedPassage(passage, self._visits, self._events)

    def visit(self, table: int, fields: Mapping[str, int]) -> None:
        self._visits.append((table, dict(fields)))

    def did(self, action: RuleAction, fields: Mapping[str, int]) -> None:
        flags = fields.get("reg0", 0)
        match action:
            case CopyToController(meter, size):
                self._events.append(("copy", meter, size, flags >> layout.REASON.low & 15))
            case Commit(zone, _, mark):
                number = 0 if mark is None else fields.get(mark.field, 0)
                self._events.append(("commit", zone, number))
            case Track(zone) if not fields["ct_state"]:
                self._events.append(("track", zone))
            case Track(zone):
                self._events.append(("wait", zone, is_untrackable(fields, self._came)))
            case UseMeter(number) if layout.is_connection_meter(number):
                self._events.append(("meter", number))
            case Learn():
                self._events.append(action)


class Ways:
    """The rules of one switch as they are and as if all was counted."""

    def __init__(self, rules: Sequence[Rule], switch: int) -> None:
        self._both = (TracingSimulator(rules), TracingSimulator((*rules, COUNTED)))
        self._own = ("track", layout.zone_of(switch))

    def look(self, probe: ProbePacket) -> TracedPassage:
        return self._both[probe.counted].look(probe)

    def observed(self, probe: ProbePacket) -> tuple[object, ...]:
        return self.effect(self.look(probe), probe)

    def effect(self, seen: TracedPassage, probe: ProbePacket) -> tuple[object, ...]:
        """All that can be seen of a passage from outside, and to whom it is attributed."""
        passage, packet = seen.passage, probe.packet
        # To ask the switch's own connection table leaves no trace.
        events = [each for each in seen.events if each != self._own]
        # Only connections are judged: what the register holds of others nobody reads.
        request = packet["eth_type"] == ARP or "nd_target" in packet
        flags = passage.fields.get("reg0", 0)
        outcome = 0 if request else flags >> layout.OUTCOME.low & 7
        named = (Category.INTENT, Category.DEFAULT)
        causes = [rule.cookie for rule in passage.rules if category_of(rule.cookie) in named]
        judged = (passage.fields.get("reg1", 0), causes) if outcome else ()
        return (sorted(passage.outputs), events, outcome, judged)


class Oracle:
    """Tells of a fault in one switch's rules whether it changes what happens to some packet."""

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        view: SwitchView,
        bindings: Sequence[Binding],
        rules: Sequence[Rule],
        seed: int,
        packets: int = 2000,
    ) -> None:
        self._random = Random(seed)
        self._draw = Draw(policy, membership, view, bindings, self._random)
        self._switch = view.switch
        self._right = Ways(rules, view.switch)
        self._known = [(probe, self._right.look(probe)) for probe in self._draw.probes(packets)]

    def shown(self, rules: Sequence[Rule], before: Rule, after: Rule | None) -> ProbePacket | None:
        """A packet that the faulty rules treat otherwise, ``before`` having become ``after``."""
        wrong = Ways(rules, self._switch)
        for probe, seen in self._known:
            if self._meets(seen, before, after):
                if wrong.observed(probe) != self._right.effect(seen, probe):
                    return probe
        for rule in (before, after):
            for probe in () if rule is None else self._towards(rule):
                if wrong.observed(probe) != self._right.observed(probe):
                    return probe
        return None

    def differs(self, rules: Sequence[Rule], probe: ProbePacket) -> bool:
        """Whether other rules treat this packet otherwise."""
        return Ways(rules, self._switch).observed(probe) != self._right.observed(probe)

    @staticmethod
    def _meets(seen: TracedPassage, before: Rule, after: Rule | None) -> bool:
        """Whether the fault can matter to a packet: it met the rule, or now may."""
        if before in seen.passage.rules:
            return True
        return after is not None and any(
            table == after.table and matches(after, fields) for table, fields in seen.visits
        )

    def _towards(self, rule: Rule) -> Iterator[ProbePacket]:
        """Packets with the values that a rule matches, as far as packets can have them."""
        tries = self._random.sample(self._known, min(AIMED, len(self._known)))
        for probe, _ in tries:
            yield ProbePacket(towards(rule, probe.packet, self._random), probe.state, probe.counted)
        near = [each for each in self._known if _close(rule, each[1])]
        for probe, _ in self._random.sample(near, min(AIMED, len(near))):
            packet = towards(rule, probe.packet, self._random)
            service = _service(rule)
            if service is not None:
                packet = self._draw.asking(packet, probe.state, *service)
            yield ProbePacket(packet, probe.state, probe.counted)


def _close(rule: Rule, seen: TracedPassage) -> bool:
    """Whether a packet came to the rule's table and lacks but the service it asks for."""
    wanted = [each for each in rule.match if each.name not in ("reg2", "eth_type", "ip_proto")]
    near = Rule(rule.table, 0, tuple(wanted), (), 0)
    return any(table == rule.table and matches(near, fields) for table, fields in seen.visits)


def _service(rule: Rule) -> tuple[int, int] | None:
    """Protocol and port or type that a rule of the tiers is about."""
    for wanted in rule.match:
        if wanted.name == "reg2":
            return wanted.value >> 24 & 0xFF, wanted.value & 0xFFFF
    return None


def towards(rule: Rule, packet: dict[str, int], random: Random) -> dict[str, int]:
    """The packet with the values that a rule matches, if it is of the rule's protocol; now and
    then with another bit where the rule leaves some of a field free."""
    changed = dict(packet)
    for wanted in rule.match:
        if wanted.name.startswith("reg") or wanted.name == "ct_state":
            continue
        if wanted.name == "ip_frag" and "ct_mark" in packet:
            changed = fragment_of(changed, wanted.value == LATER)
            continue
        if wanted.name not in packet:
            return packet
        full = (1 << width_of(wanted.name)) - 1
        mask = full if wanted.mask is None else wanted.mask
        value = changed[wanted.name] & ~mask & full | wanted.value
        if free := full & ~mask if random.random() < 0.5 else 0:
            bits = [bit for bit in range(full.bit_length()) if free >> bit & 1]
            value ^= 1 << random.choice(bits)
        if wanted.name in SINGLE and value != packet[wanted.name]:
            return packet
        changed[wanted.name] = value
    return changed

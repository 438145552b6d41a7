"""Whether connections get to the tiers as what they are: the original tuple, in registers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.model import ICMP, ICMPV6
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.semantics.prefix_sets import SIX, number_of
from policies.verify.addresses import CHAIN, SOURCE, TARGET
from policies.verify.attempt import Attempt, entry_of
from policies.verify.boxes import EVERY_SERVICE, REACHABLE, service_number
from policies.verify.flows import STATES, Asked, packet_of
from policies.verify.fragments import FIRST, LATER
from policies.verify.index import FULL, MaskGroup, bits_mask, place, register_bits
from policies.verify.machine import MachineRun
from policies.verify.packets import ADVERTISE, IP, PORT_NAMES, REL, RPL, SOLICIT, TRK, original
from policies.verify.ranges import Ranges, common, meet, without
from policies.verify.wildcard_rules import LARGE

HELPER_PROBLEM = "what a helper finds is not judged as the connection that it belongs to"
_PORTS = (0, 21, 1_023, *(1_024 << bit for bit in range(6)), 65_535)  # one for every mask of ranges


class Tuples(Attempt):
    """The step about the tables before the tiers."""

    def connections(self) -> None:
        """What stands in the registers before the tiers is the connection's original tuple.

        Rules only copy bits and write constants, so packets in which every bit
        of every field has a code of its own show where each register bit comes from.
        """
        index = self.tables.get(RuleTable.CONNECTION)
        allowed = {"eth_type", "ip_proto", "icmp_type", "icmpv6_type", "ct_state"}
        protocols = {1, 6, 17, 58, 132, 0, 47, 255}
        marks = {number for number, _ in self.expectation.helped}
        for group in () if index is None else index.groups.values():
            names = {name for name, _, _ in group.small}
            protocols |= {value for name, value, _ in group.small if name == "ip_proto"}
            if group.big == (("ct_nw_proto", FULL),):
                protocols |= {key[0] for key in group.rules}
            elif _of_helpers(group):
                marks |= {key[0] for key in group.rules}
            elif group.big and not _of_fragments(group):
                names |= {"other"}
            if names - allowed or group.mask:
                self.unproven.append("a connection rule looks at more than protocol and state")
                return
        tables = tuple(self.tables.get(table) for table in (RuleTable.CONNECTION, *sorted(LARGE)))
        if any(
            all(one is other for one, other in zip(tables, known, strict=True))
            for known in self._setting.connecting
        ):
            return  # another switch has the same, and it is right
        before = len(self.found), len(self.unproven)
        self._coded(sorted(protocols), sorted(marks))
        if before == (len(self.found), len(self.unproven)):
            self._setting.connecting.append(tables)

    def _coded(self, protocols: Sequence[int], marks: Sequence[int]) -> None:
        for packet, state in _coded_packets(protocols, marks):
            self._count("packets")
            run = self.machine.run_from(RuleTable.CONNECTION, packet, 0, state, state)
            asked = original(packet, state, self.expectation.helped)
            want = (
                SOURCE.put(number_of(asked.src))
                | TARGET.put(number_of(asked.dst))
                | asked.proto << (place(layout.PROTO.field, layout.PROTO.low) or 0)
                | asked.port << (place(layout.PORT.field, layout.PORT.low) or 0)
            )
            mask = SOURCE.identity | TARGET.identity
            mask |= bits_mask(layout.PROTO) | bits_mask(layout.PORT)
            if "ct_mark" in packet:
                mask |= bits_mask(layout.REPLY) | bits_mask(layout.RELATED)
                want |= bool(state & RPL) << (place(layout.REPLY.field, layout.REPLY.low) or 0)
            entry = entry_of(run)
            if entry is not None and entry & mask == want and self._enters(run):
                continue
            if "ct_mark" in packet:  # no packet of ours is found by a helper: nothing to show
                self.unproven.append(HELPER_PROBLEM)
                return
            ends = SOURCE.identity | TARGET.identity
            right = entry is not None and entry & ends == want & ends and self._enters(run)
            if self._mistaken(packet, state, run, right) and self.enough:
                return

    def _enters(self, run: MachineRun) -> bool:
        """Nothing that tells addresses apart is left out."""
        for table in CHAIN:
            if table not in run.entries:
                rules = list(self.tables[table].rules()) if table in self.tables else []
                if len(rules) != 1 or len(rules[0].actions) != 1:
                    return False
        return True

    def _mistaken(self, packet: dict[str, int], state: int, run: MachineRun, ends: bool) -> bool:
        """A real packet of this shape that goes wrong; says so when there is none."""
        judging = self.shared.judging
        base = service_number(packet["eth_type"] != IP, packet["ip_proto"])
        asked = original(packet, state, self.expectation.helped)
        ports = ((base | asked.port, base | asked.port), (base, base | 0xFFFF))
        kinds = [self.shared.kinds(end, self.loose.matched) for end in (0, 1)]
        asks = [(box.sources, box.targets, box.services) for box in judging.intents]
        asks += [
            (one, two, EVERY_SERVICE) for one in kinds[0].values() for two in kinds[1].values()
        ]
        for sources, targets, services in asks:
            for low, high in ports:
                part = tuple(
                    (max(low, one), min(high, two))
                    for one, two in services
                    if one <= high and two >= low
                )
                if not part:
                    continue
                for sent in self.witnesses.packets(sources, targets, part, state):
                    for name in ("icmp_type", "icmpv6_type"):
                        if name in sent and name in packet:
                            sent[name] = packet[name]
                    if self._try(sent, state):
                        return True
        alone = len(kinds[0]) == len(kinds[1]) == 1
        if not (ends or alone) or self._told_apart(packet, state, run):
            problem = "a connection rule writes something else than the original tuple"
            if problem not in self.unproven:
                self.unproven.append(problem)
        return False

    def _told_apart(self, packet: dict[str, int], state: int, run: MachineRun) -> bool:
        """Whether some rule or intent treats the service that the packet is about otherwise than
        the one in the registers; for protocols with ports, than any port of either."""
        asked = original(packet, state, self.expectation.helped)
        proto = register_bits(run.registers, layout.PROTO)
        port = register_bits(run.registers, layout.PORT)
        wanted: list[Ranges] = []
        for number, at in ((asked.proto, asked.port), (proto, port)):
            low = service_number(packet["eth_type"] != IP, number)
            exact = asked.proto in (ICMP, ICMPV6)
            part = ((low | at, low | at),) if exact else ((low, low | 0xFFFF),)
            wanted.append(part if exact else common(REACHABLE, part))
        for box in (*self.shared.judging.rules, *self.shared.judging.intents):
            met = [meet(box.services, each) for each in wanted]
            if any(met) and not all(not without(each, box.services) for each in wanted):
                return True
        return False


def _of_fragments(group: MaskGroup) -> bool:
    """Whether rules are about nothing but later fragments, or first ones that hide their port."""
    names = [name for name, _ in group.big]
    ports = {f"{name}_dst" for name in PORT_NAMES.values()}
    if set(names) - ports != {"ip_frag"}:
        return False
    kind = LATER if len(names) == 1 else FIRST
    wanted = tuple(kind if name == "ip_frag" else 0 for name in names)
    return all(mask == FULL for _, mask in group.big) and set(group.rules) == {wanted}


def _of_helpers(group: MaskGroup) -> bool:
    """Whether rules are about a mark and a range of ports beside protocol and state."""
    names = [name for name, _ in group.big]
    ports = {f"{name}_{end}" for name in PORT_NAMES.values() for end in ("src", "dst")}
    return len(names) == 2 and names[0] == "ct_mark" and names[1] in ports and not group.mask


def _coded_packets(
    protocols: Sequence[int], marks: Sequence[int]
) -> Iterator[tuple[dict[str, int], int]]:
    """Connection packets in which bit number i of the fields is bit k of i in packet k."""
    for six in (False, True):
        for state in STATES:
            if state & ~TRK & 0x10:
                continue
            for proto in protocols:
                for step in range(10):
                    packet = _coded(six, state, proto, step)
                    yield packet, state
                    for quoted in protocols if state & REL else ():
                        yield packet | {"ct_nw_proto": quoted}, state
                    if state & REL and proto in PORT_NAMES:
                        name = f"{PORT_NAMES[proto]}_{'src' if state & RPL else 'dst'}"
                        for mark in (*marks, *(mark ^ 1 for mark in marks)):
                            for port in _PORTS:
                                yield packet | {"ct_mark": mark, name: port}, state
            for kind in (
                each for each in range(256) if not six or each not in (SOLICIT, ADVERTISE)
            ):
                proto = 58 if six else 1
                base = SIX if six else 0
                packet = packet_of(Asked(base | 1, base | 2, proto, 0), 1, 1, 2, state)
                packet["icmpv6_type" if six else "icmp_type"] = kind
                yield packet, state


def _coded(six: bool, state: int, proto: int, step: int) -> dict[str, int]:
    base = SIX if six else 0
    packet = packet_of(Asked(base, base, proto, 0), 1, 1, 2, state)
    at = 1
    family = "ipv6" if six else "ip"
    tracked = "ct_ipv6" if six else "ct_nw"
    width = 128 if six else 32
    fields = [(f"{family}_src", width), (f"{family}_dst", width)]
    fields += [
        (f"{tracked}_src", width),
        (f"{tracked}_dst", width),
        ("ct_tp_src", 16),
        ("ct_tp_dst", 16),
    ]
    ported = tuple(PORT_NAMES.values())
    fields += [(name, 16) for name in packet if name.startswith(ported) and name != "tcp_flags"]
    if state & REL:
        fields.append(("ct_nw_proto", 8))
    for name, bits in fields:
        packet[name] = sum((at + bit >> step & 1) << bit for bit in range(bits))
        at += bits
    return packet

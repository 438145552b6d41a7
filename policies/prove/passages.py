"""Whether connections get to the tiers as what they are, and whether what is decided is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from policies import layout
from policies.layout import Table
from policies.model import ICMP, ICMPV6, Action, Connection, Mode, Tier, Verdict
from policies.prove.addresses import CHAIN, SOURCE, TARGET
from policies.prove.attempt import Attempt
from policies.prove.boxes import EVERY_SERVICE, INTENT, REACHABLE, SIX_BIT, Leaf
from policies.prove.differing import counts_one
from policies.prove.expected import Expected
from policies.prove.flows import STATES, Asked, flow_packets, packet_of
from policies.prove.fragments import FIRST, LATER, fragment_of, is_fragment
from policies.prove.groups import group_packets
from policies.prove.index import FULL, Group, bits_mask, place, register_bits
from policies.prove.loose import LARGE, apart
from policies.prove.machine import Run
from policies.prove.packets import (
    ADVERTISE,
    IP,
    PORT_NAMES,
    REL,
    RPL,
    SOLICIT,
    TRK,
    original,
)
from policies.prove.ranges import Ranges, Undecided, common, meet, without
from policies.regions import SIX, number_of
from policies.rules import Bits

# What is judged behind the tiers, beside the way that the packet goes and its state.
JUDGED = frozenset({"in_port", "eth_type", "ip_proto", "tcp_flags", "ip_frag"})
MARKED = 0x5A5A_A5A5  # an intent number that stands for any


class Passages(Attempt):
    """The steps about connections."""

    def connections(self) -> None:
        """What stands in the registers before the tiers is the connection's original tuple.

        Rules only copy bits and write constants, so packets in which every bit
        of every field has a code of its own show where each register bit comes from.
        """
        index = self.tables.get(Table.CONNECTION)
        allowed = {"eth_type", "ip_proto", "icmp_type", "icmpv6_type", "ct_state"}
        protocols = {1, 6, 17, 58, 132, 0, 47, 255}
        for group in () if index is None else index.groups.values():
            names = {name for name, _, _ in group.small}
            protocols |= {value for name, value, _ in group.small if name == "ip_proto"}
            if group.big == (("ct_nw_proto", FULL),):
                protocols |= {key[0] for key in group.rules}
            elif group.big and not _of_fragments(group):
                names |= {"other"}
            if names - allowed or group.mask:
                self.unproven.append("a connection rule looks at more than protocol and state")
                return
        tables = tuple(self.tables.get(table) for table in (Table.CONNECTION, *sorted(LARGE)))
        if any(
            all(one is other for one, other in zip(tables, known, strict=True))
            for known in self._setting.connecting
        ):
            return  # another switch has the same, and it is right
        before = len(self.found), len(self.unproven)
        self._coded(sorted(protocols))
        if before == (len(self.found), len(self.unproven)):
            self._setting.connecting.append(tables)

    def _coded(self, protocols: Sequence[int]) -> None:
        for packet, state in _coded_packets(protocols):
            self._count("packets")
            run = self.machine.run_from(Table.CONNECTION, packet, 0, state, state)
            asked = original(packet, state)
            want = (
                SOURCE.put(number_of(asked.src))
                | TARGET.put(number_of(asked.dst))
                | asked.proto << (place(layout.PROTO.field, layout.PROTO.low) or 0)
                | asked.port << (place(layout.PORT.field, layout.PORT.low) or 0)
            )
            mask = SOURCE.identity | TARGET.identity
            mask |= bits_mask(layout.PROTO) | bits_mask(layout.PORT)
            entry = next((run.entries[table] for table in CHAIN if table in run.entries), None)
            if entry is not None and entry & mask == want and self._enters(run):
                continue
            ends = SOURCE.identity | TARGET.identity
            right = entry is not None and entry & ends == want & ends and self._enters(run)
            if self._mistaken(packet, state, run, right) and self.enough:
                return

    def _enters(self, run: Run) -> bool:
        """Nothing that tells addresses apart is left out."""
        for table in CHAIN:
            if table not in run.entries:
                rules = list(self.tables[table].rules()) if table in self.tables else []
                if len(rules) != 1 or len(rules[0].actions) != 1:
                    return False
        return True

    def _mistaken(self, packet: dict[str, int], state: int, run: Run, ends: bool) -> bool:
        """A real packet of this shape that goes wrong; says so when there is none."""
        judging = self.shared.judging
        six = packet["eth_type"] != IP
        base = (SIX_BIT if six else 0) | packet["ip_proto"] << 16
        asked = original(packet, state)
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

    def _told_apart(self, packet: dict[str, int], state: int, run: Run) -> bool:
        """Whether some rule or intent treats the service that the packet is about otherwise than
        the one in the registers; for protocols with ports, than any port of either."""
        asked = original(packet, state)
        base = SIX_BIT if packet["eth_type"] != IP else 0
        proto = register_bits(run.registers, layout.PROTO)
        port = register_bits(run.registers, layout.PORT)
        wanted: list[Ranges] = []
        for number, at in ((asked.proto, asked.port), (proto, port)):
            low = base | number << 16
            exact = asked.proto in (ICMP, ICMPV6)
            part = ((low | at, low | at),) if exact else ((low, low | 0xFFFF),)
            wanted.append(part if exact else common(REACHABLE, part))
        for box in (*self.shared.judging.rules, *self.shared.judging.intents):
            met = [meet(box.services, each) for each in wanted]
            if any(met) and not all(not without(each, box.services) for each in wanted):
                return True
        return False

    def flows(self) -> None:
        """Every kind of packet, and behind the tiers every kind of outcome."""
        assert self.shared.ends is not None
        judging = self.shared.judging
        live = self.loose.matched
        kinds = [self.shared.kinds(end, live) for end in (0, 1)]
        leaves = sorted(judging.leaves(), key=repr)
        behind = [self._read_after(leaf.table) for leaf, _ in leaves]
        alive = {leaf: mask for (leaf, _), (mask, _) in zip(leaves, behind, strict=True)}
        looked_at = sorted(frozenset[str]().union(*(names for _, names in behind)) | JUDGED)
        seen: set[tuple[object, ...]] = set()
        separate = apart(self.tables)
        packets = chain(
            flow_packets(self.world, self.expectation, separate),
            group_packets(self.world, self.expectation, separate),
        )
        for packet, state in packets:
            run, wanted, wrong = self._try_counted(packet, state)
            if wrong and self.enough:
                return
            if wanted.verdict is None:
                continue
            entry = next((run.entries[table] for table in CHAIN if table in run.entries), None)
            if entry is None:
                continue
            ends = SOURCE.own | TARGET.own | bits_mask(layout.PROTO) | bits_mask(layout.PORT)
            key = (
                entry & ~ends,
                state,
                self.expectation.forwarding.leads(packet),
                self._local(packet),
                *(packet.get(name) for name in looked_at),
            )
            if key in seen:
                continue
            seen.add(key)
            asked = original(packet, state)
            inside = {name: value for name, value in packet.items() if name != "vlan_vid"}
            if tag := next((run.tags[table] for table in CHAIN if table in run.tags), 0):
                inside["vlan_vid"] = tag
            for leaf, allow in leaves:
                good: set[tuple[int, Mode | None]] = set()
                for (own, mode), sources in kinds[0].items():
                    for (far, other), targets in kinds[1].items():
                        registers = entry & ~(SOURCE.own | TARGET.own) | own | far
                        stricter = max(mode, other)
                        same = (registers & alive[leaf], None if allow else stricter)
                        if same in good:
                            continue
                        if self._behind(inside, state, asked, leaf, allow, registers, stricter):
                            good.add(same)
                            continue
                        self._confirm(packet, state, leaf, allow, sources, targets)
                        if self.enough:
                            return

    def _read_after(self, table: int | None) -> tuple[int, frozenset[str]]:
        """The register bits and the packet's fields that rules from a table on look at."""
        mask, left, seen = 0, [table], {table}
        names: set[str] = set()
        while left:
            index = self.tables.get(left.pop() or -1)
            for group in () if index is None else index.groups.values():
                mask |= group.mask
                names |= {name for name, _ in group.big} | {name for name, _, _ in group.small}
            for rule in () if index is None else islice(index.rules(), 500):
                for action in rule.actions:
                    if isinstance(source := getattr(action, "source", None), Bits):
                        names.add(source.field)
                    following = getattr(action, "table", None)
                    if following is not None and following not in seen:
                        seen.add(following)
                        left.append(following)
        return mask, frozenset(names)

    def _local(self, packet: dict[str, int]) -> bool:
        """Whether the target is on this switch."""
        place = self.expectation.places.macs.get(packet["eth_dst"])
        return place is not None and place[0] == self.expectation.view.switch

    def _behind(
        self,
        packet: dict[str, int],
        state: int,
        asked: Connection,
        leaf: Leaf,
        allow: bool,
        registers: int,
        mode: Mode,
    ) -> bool:
        """Whether the tables behind the tiers do the right thing with a packet decided so."""
        if leaf.odd:
            return False
        at = place("reg1") or 0
        registers = registers & ~(leaf.mask | INTENT) | leaf.value | MARKED << at
        action = Action.ALLOW if allow else Action.DENY
        forwarded = allow or mode is not Mode.ENFORCE
        verdict = Verdict(action, forwarded, mode, Tier.DEFAULT, None, (), ())
        expect = self.expectation
        edge, local = packet["in_port"] in expect.edges, self._local(packet)
        for counted in (False, True):
            self._count("passages behind the tiers")
            runs = [self.machine.run_from(leaf.table, packet, registers, state, state, counted)]
            if runs[0].tied:
                other = self._other.run_from(leaf.table, packet, registers, state, state, counted)
                runs.append(other)
            wanted = expect.after(verdict, asked, packet, state, edge, local, counted)
            if not all(self._does(run, wanted, packet) for run in runs):
                return False
            if not (wanted.learns or any(run.counting for run in runs)):
                break  # with a counting rule nothing is otherwise
        return True

    def _does(self, run: Run, wanted: Expected, packet: dict[str, int]) -> bool:
        """Whether the tables behind the tiers did what is wanted, for any intent."""
        mark = 0 if is_fragment(packet) else MARKED
        commits = [] if wanted.commit is None else [(self.expectation.zone, mark)]
        reasons = tuple(register_bits(each, layout.REASON) for _, each in run.copies)
        return (
            not run.lost
            and len(run.outputs) == len(wanted.outputs)
            and wanted.outputs == set(run.outputs)
            and reasons == wanted.copies
            and all(meter == packet["in_port"] for meter, _ in run.copies)
            and run.commits == commits
            and len(run.tracks) + len(run.commits) == (wanted.waits or wanted.commit is not None)
            and bool(run.learned) == wanted.learns
            and all(counts_one(learn, packet) for learn in run.learned)
            and register_bits(run.registers, layout.OUTCOME) == wanted.outcome
            and register_bits(run.registers, layout.INTENT) == MARKED
        )

    def _confirm(
        self,
        packet: dict[str, int],
        state: int,
        leaf: Leaf,
        allow: bool,
        sources: int,
        targets: int,
    ) -> None:
        """A wrong passage behind the tiers counts if a real packet takes it."""
        six = packet["eth_type"] != IP
        base = (SIX_BIT if six else 0) | packet["ip_proto"] << 16
        services = ((base, base | 0xFFFF),)
        try:
            edge = packet["in_port"] in self.expectation.edges
            reply = bool(state & RPL)
            for part in self._reachable((sources, targets, services), edge, reply):
                found = self.shared.judging.decided(leaf, allow, *part)
                if found is None:
                    continue
                for witness in self.witnesses.packets(*found[:3], state):
                    sent = witness
                    if "tcp_flags" in packet and "tcp_flags" in witness:
                        sent = witness | {"tcp_flags": packet["tcp_flags"]}
                    if "ip_frag" in packet:
                        sent = fragment_of(sent, False)
                    for counted in (False, True):
                        if self._try(sent, state, counted):
                            return
        except Undecided as problem:
            self.unproven.append(str(problem))


def _of_fragments(group: Group) -> bool:
    """Whether rules are about nothing but later fragments, or first ones that hide their port."""
    names = [name for name, _ in group.big]
    ports = {f"{name}_dst" for name in PORT_NAMES.values()}
    if set(names) - ports != {"ip_frag"}:
        return False
    kind = LATER if len(names) == 1 else FIRST
    wanted = tuple(kind if name == "ip_frag" else 0 for name in names)
    return all(mask == FULL for _, mask in group.big) and set(group.rules) == {wanted}


def _coded_packets(protocols: Sequence[int]) -> Iterator[tuple[dict[str, int], int]]:
    """Connection packets in which bit number i of the fields is bit k of i in packet k."""
    for six in (False, True):
        for state in STATES:
            if state & ~TRK & 0x10:
                continue
            for proto in protocols:
                for step in range(10):
                    packet = _coded(six, state, proto, step)
                    yield packet, state
                    if state & REL:
                        yield packet | {"ct_nw_proto": proto}, state
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

"""The proof for one switch, and for a network whose rules and policy change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from policies import layout
from policies.compiler import SwitchView
from policies.layout import Table
from policies.membership import Membership
from policies.model import Action, Connection, Mode, Policy, Tier, Verdict
from policies.prove.addresses import CHAIN, SOURCE, TARGET, AddressClasses, Classes, End, bitset
from policies.prove.expect import (
    IP,
    PORT_NAMES,
    REL,
    RPL,
    TRK,
    Expectation,
    Expected,
    Places,
    counts_one,
    original,
)
from policies.prove.flows import (
    ANSWERS,
    ASKS,
    STATES,
    Asked,
    Witnesses,
    flow_packets,
    packet_of,
)
from policies.prove.index import Machine, Run, TableIndex, bits_mask, place, register_bits
from policies.prove.judging import (
    EVERY_SERVICE,
    INTENT,
    REACHABLE,
    SIX_BIT,
    TIERS,
    Judging,
    Leaf,
)
from policies.prove.ranges import Ranges, Undecided, common, meet, without
from policies.prove.world import (
    ANCHORS,
    LARGE,
    Loose,
    Ports,
    Targets,
    apart,
    entry_packets,
    is_anchored,
    loose_rules,
    request_packets,
    world_of,
)
from policies.regions import SIX, address_at, number_of
from policies.rules import Rule
from policies.verdict import Judge
from topology.records import Binding

MARKED = 0x5A5A_A5A5  # an intent number that stands for any
MODES = tuple(Mode)


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A packet that the rules treat otherwise than the policy says.

    ``packet`` has Open vSwitch's fields, ``ct_state`` what connection tracking
    says of it; ``connection`` is None where no connection is judged.
    """

    switch: int
    packet: Mapping[str, int]
    ct_state: int
    in_port: int
    direction: str
    connection: Connection | None
    intent: str | None
    rule: Rule | None
    rules: tuple[Rule, ...]
    differences: tuple[str, ...]
    counted: bool = False
    tied: bool = False  # two rules of one priority match, and the switch may take either


@dataclass(frozen=True, slots=True)
class Proof:
    """``holds`` only when every packet was covered and none differs; ``unproven`` says what could
    not be covered, ``statistics`` how much was looked at."""

    holds: bool
    counterexamples: tuple[Counterexample, ...] = ()
    unproven: tuple[str, ...] = ()
    statistics: Mapping[str, int] = field(default_factory=dict)


def prove(
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    rules: Sequence[Rule],
    now: float,
    limit: int = 1,
) -> Proof:
    """Whether one switch's rules do with every packet what the policy says; up to ``limit``
    counterexamples."""
    return Prover(policy, membership, {view.switch: view}, bindings, now, limit).prove(
        {view.switch: rules}
    )


def _finder(membership: Membership) -> Callable[[int], frozenset[str]]:
    return lambda number: membership.segments_of(address_at(number))


def read_bits(tables: Mapping[int, TableIndex]) -> int:
    """The register bits that some rule matches or reads."""
    mask = 0
    for index in tables.values():
        for group in index.groups.values():
            mask |= group.mask
            for rule in group.rules.values() if len(group.rules) < 200 else ():
                for action in rule.actions:
                    for name in ("source", "mark"):
                        bits = getattr(action, name, None)
                        if bits is not None and place(bits.field) is not None:
                            mask |= bits_mask(bits)
    return mask


class Shared:
    """What is the same for all switches whose tables before and in the tiers are the same."""

    def __init__(
        self, tables: Mapping[int, TableIndex], policy: Policy, membership: Membership, now: float
    ) -> None:
        self.problem: str | None = None
        self.suspects: list[tuple[int, int, Ranges]] = []
        find = _finder(membership)
        self.ends: tuple[AddressClasses, AddressClasses] | None = None
        try:
            read = read_bits(tables)
            self.ends = (
                AddressClasses(SOURCE, tables, membership.spans, find, read),
                AddressClasses(TARGET, tables, membership.spans, find, read),
            )
            self.judging = Judging(self.ends[0].classes, self.ends[1].classes)
            self.judging.read_intents(policy, now)
            self.judging.read_rules(tables)
            self.suspects = self.judging.suspects()
        except Undecided as problem:
            self.problem = str(problem)
        self.membership = membership

    def kinds(self, end: int, live: int) -> dict[tuple[int, Mode], int]:
        """Classes that are alike behind the tiers: the register bits read there, and the mode."""
        assert self.ends is not None
        classes = self.ends[end].classes
        mask = (SOURCE, TARGET)[end].own & live
        groups: dict[tuple[int, Mode], list[int]] = {}
        for index, (own, segments) in enumerate(zip(classes.own, classes.segments, strict=True)):
            key = (own & mask, self.membership.mode_of(segments))
            groups.setdefault(key, []).append(index)
        return {key: bitset(each, len(classes.own)) for key, each in groups.items()}


class Prover:
    """The rules of several switches against one policy."""

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        views: Mapping[int, SwitchView],
        bindings: Sequence[Binding],
        now: float,
        limit: int = 1,
    ) -> None:
        self._policy, self._membership, self._views = policy, membership, dict(views)
        self._now, self._limit = now, limit
        self._places = Places.of(bindings)
        self._judge = Judge(policy, membership)
        self.connecting: list[tuple[TableIndex | None, ...]] = []
        self._shared: list[tuple[tuple[object, ...], Shared]] = []
        self._indexed: dict[int, list[tuple[Sequence[Rule], TableIndex]]] = {}
        self._targets: list[tuple[tuple[object, ...], Targets]] = []

    def prove(self, rules: Mapping[int, Sequence[Rule]]) -> Proof:
        """Prove the rules of every switch given."""
        found: list[Counterexample] = []
        unproven: list[str] = []
        statistics: dict[str, int] = {}
        for switch in sorted(rules):
            tables = self._tables(rules[switch])
            check = _Switch(self, switch, tables)
            check.run()
            found += check.found
            unproven += [f"switch {switch}: {each}" for each in check.unproven]
            for name, number in check.statistics.items():
                statistics[name] = statistics.get(name, 0) + number
        return Proof(not found and not unproven, tuple(found), tuple(unproven), statistics)

    def _tables(self, rules: Sequence[Rule]) -> dict[int, TableIndex]:
        """The tables, indexed once where several switches have the same."""
        ordered: Sequence[Rule] = rules
        if any(one.table > two.table for one, two in zip(rules, rules[1:], strict=False)):
            ordered = sorted(rules, key=lambda rule: rule.table)
        tables = {}
        for number, group in groupby(ordered, key=lambda rule: rule.table):
            own = list(group)
            known = self._indexed.setdefault(number, [])
            index = next((index for other, index in known if other == own), None)
            if index is None:
                index = TableIndex(own)
                known.append((own, index))
            tables[int(number)] = index
        return tables

    def shared(self, tables: Mapping[int, TableIndex]) -> Shared:
        key = tuple(tables.get(table) for table in sorted(LARGE))
        for known, shared in self._shared:
            if all(one is other for one, other in zip(known, key, strict=True)):
                return shared
        shared = Shared(tables, self._policy, self._membership, self._now)
        self._shared.append((key, shared))
        return shared

    def targets(self, tables: Mapping[int, TableIndex], loose: Loose) -> Targets:
        # The guard's rules name ports, not targets.
        used = [
            table
            for table in sorted(tables)
            if table not in LARGE
            and any(
                is_anchored(group) and group.big[0][0] in ANCHORS
                for group in tables[table].groups.values()
            )
        ]
        key: tuple[object, ...] = (
            *(tables[table] for table in used),
            loose.matched,
            tuple(sorted((name, tuple(sorted(v))) for name, v in loose.values.items())),
        )
        for known, targets in self._targets:
            if len(known) == len(key) and all(
                one is other or one == other for one, other in zip(known, key, strict=True)
            ):
                return targets
        targets = Targets(tables, self._places, loose)
        self._targets.append((key, targets))
        return targets


def _example(
    switch: int,
    packet: dict[str, int],
    state: int,
    run: Run,
    wanted: Expected,
    differences: Sequence[str],
    counted: bool,
) -> Counterexample:
    deciding = [rule for rule in run.rules if rule.table in TIERS and rule.priority]
    blamed = deciding[-1:] or run.rules[-1:]
    verdict = wanted.verdict
    return Counterexample(
        switch,
        packet,
        state,
        packet["in_port"],
        "reply" if state & RPL else "new" if state == ASKS else "later",
        wanted.asked,
        None if verdict is None else verdict.intent,
        blamed[0] if blamed else None,
        tuple(run.rules),
        tuple(differences),
        counted,
    )


class _Switch:
    """One switch's proof."""

    def __init__(self, prover: Prover, switch: int, tables: dict[int, TableIndex]) -> None:
        self._prover, self._switch = prover, switch
        self.tables, self.machine = tables, Machine(tables)
        self._other = Machine(tables, last=True)
        self.expectation = Expectation(
            prover._policy,
            prover._membership,
            prover._judge,
            prover._places,
            prover._views[switch],
            prover._now,
        )
        self._limit = prover._limit
        self.found: list[Counterexample] = []
        self.unproven: list[str] = []
        self._ties: list[Counterexample] = []
        self.statistics = {"rules": sum(1 for index in tables.values() for _ in index.rules())}

    # -- the steps ----------------------------------------------------------------------------

    def run(self) -> None:
        """All steps; they end early once there are counterexamples enough."""
        self._steps()
        self.found += self._ties if not self.found else []

    def _steps(self) -> None:
        self.loose = loose_rules(self.tables)
        ports = Ports(self.tables, self.expectation, self.loose).signatures()
        targets = self._prover.targets(self.tables, self.loose)
        self.world = world_of(ports, targets, self.loose, self.expectation)
        self.shared = self._prover.shared(self.tables)
        steps = [self._entries, self._requests]
        if self.shared.ends is not None:
            self.witnesses = Witnesses(self.expectation, self.world, *self.shared.ends)
            steps += [self._deciders, self._strange, self._connections, self._flows]
        for step in steps:
            step()
            if len(self.found) >= self._limit:
                return
        if self.shared.problem is not None:
            self._search_everywhere()
            if not self.found and not self._ties:
                self.unproven.append(self.shared.problem)

    def _count(self, name: str, number: int = 1) -> None:
        self.statistics[name] = self.statistics.get(name, 0) + number

    def _entries(self) -> None:
        self._try_all((packet, ASKS) for packet in entry_packets(self.world, self.expectation))

    def _requests(self) -> None:
        self._try_all((packet, ASKS) for packet in request_packets(self.world, self.expectation))

    def _try_all(self, packets: Iterable[tuple[dict[str, int], int]]) -> bool:
        for packet, state in packets:
            if self._try(packet, state) and len(self.found) >= self._limit:
                return True
        return False

    def _try(self, packet: dict[str, int], state: int, counted: bool = False) -> bool:
        """Run one packet; whether it is a counterexample."""
        self._count("packets")
        run = self.machine.run(packet, state, counted)
        wanted = self.expectation.expect(packet, state, counted)
        differences = self.expectation.differences(run, wanted, packet["in_port"])
        if run.tied and not self._ties:
            other = self._other.run(packet, state, counted)
            if found := self.expectation.differences(other, wanted, packet["in_port"]):
                found.append("two rules of one priority match: a switch may take either")
                example = _example(self._switch, packet, state, other, wanted, found, counted)
                self._ties.append(replace(example, tied=True))
        if differences and len(self.found) < self._limit:
            self.found.append(
                _example(self._switch, packet, state, run, wanted, differences, counted)
            )
        return bool(differences)

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
            if len(self.found) >= self._limit:
                return

    def _reachable(
        self, box: tuple[int, int, Ranges], edge: bool | None = None, reply: bool | None = None
    ) -> Iterator[tuple[int, int, Ranges]]:
        """The parts of a box that packets here can be in: a host sends with its own addresses,
        other switches send anything. ``edge`` and ``reply`` narrow it to such packets."""
        sources, targets, services = box
        for six in (False, True):
            base = SIX_BIT if six else 0
            asked = common(common(services, REACHABLE), ((base, base + SIX_BIT - 1),))
            starts, ends = sources & self._alive(0, six), targets & self._alive(1, six)
            if not (asked and starts and ends):
                continue
            if edge is not True and self.world.trunks:
                yield starts, ends, asked
            if edge is False:
                continue
            if reply is not True and starts & self._here(0, six):
                yield starts & self._here(0, six), ends, asked
            if reply is not False and ends & self._here(1, six):
                yield starts, ends & self._here(1, six), asked

    def _here(self, end: int, six: bool) -> int:
        local = self.witnesses.local(end, six)
        return bitset(local, max(local, default=0) + 1)

    def _alive(self, end: int, six: bool) -> int:
        assert self.shared.ends is not None
        classes: Classes = self.shared.ends[end].classes
        return classes.six if six else classes.four

    def _witness(self, sources: int, targets: int, services: Ranges) -> bool:
        for state in (ASKS, ANSWERS):
            for packet in self.witnesses.packets(sources, targets, services, state):
                if self._try(packet, state):
                    return True
        return False

    def _strange(self) -> None:
        """Addresses that leave the identity tables in an unusual way, one by one."""
        assert self.shared.ends is not None
        for end, classes in enumerate(self.shared.ends):
            for number in classes.strange[:64]:
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
            self._try_all(flow_packets(self.world, self.expectation, False))
            return
        judging = self.shared.judging
        for box in (*judging.intents, *judging.rules):
            if self._witness(box.sources, box.targets, box.services):
                return

    # -- connections --------------------------------------------------------------------------

    def _connections(self) -> None:
        """What stands in the registers before the tiers is the connection's original tuple.

        Rules only copy bits and write constants, so packets in which every bit
        of every field has a code of its own show where each register bit comes from.
        """
        index = self.tables.get(Table.CONNECTION)
        allowed = {"eth_type", "ip_proto", "icmp_type", "icmpv6_type", "ct_state"}
        for group in () if index is None else index.groups.values():
            names = {name for name, _, _ in group.small} | {name for name, _ in group.big}
            if names - allowed or group.mask:
                self.unproven.append("a connection rule looks at more than protocol and state")
                return
        tables = tuple(self.tables.get(table) for table in (Table.CONNECTION, *sorted(LARGE)))
        if any(
            all(one is other for one, other in zip(tables, known, strict=True))
            for known in self._prover.connecting
        ):
            return  # another switch has the same, and it is right
        before = len(self.found), len(self.unproven)
        self._coded()
        if before == (len(self.found), len(self.unproven)):
            self._prover.connecting.append(tables)

    def _coded(self) -> None:
        for packet, state in _coded_packets():
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
            if self._mistaken(packet, state, run, right) and len(self.found) >= self._limit:
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
                    if self._try(sent, state):
                        return True
        alone = len(kinds[0]) == len(kinds[1]) == 1
        if (ends or alone) and not self._told_apart(
            six, packet["ip_proto"], register_bits(run.registers, layout.PROTO)
        ):
            return False  # whatever the registers say, the same is decided
        if (problem := "a connection rule writes something else than the original tuple") in (
            self.unproven
        ):
            return False
        self.unproven.append(problem)
        return False

    def _told_apart(self, six: bool, *protocols: int) -> bool:
        """Whether some rule or intent treats one of these protocols otherwise than another, or
        one port otherwise."""
        judging = self.shared.judging
        base = SIX_BIT if six else 0
        lows = [base | proto << 16 for proto in protocols]
        wanted = [common(REACHABLE, ((low, low | 0xFFFF),)) for low in lows]
        for box in (*judging.rules, *judging.intents):
            met = [meet(box.services, each) for each in wanted]
            if any(met) and not all(not without(each, box.services) for each in wanted):
                return True
        return False

    def _flows(self) -> None:
        """Every kind of packet, and behind the tiers every kind of outcome."""
        assert self.shared.ends is not None
        judging = self.shared.judging
        live = self.loose.matched
        kinds = [self.shared.kinds(end, live) for end in (0, 1)]
        leaves = sorted(judging.leaves(), key=repr)
        alive = {leaf: self._read_after(leaf.table) for leaf, _ in leaves}
        seen: set[tuple[object, ...]] = set()
        for packet, state in flow_packets(self.world, self.expectation, apart(self.tables)):
            for counted in (False, True):
                if self._try(packet, state, counted) and len(self.found) >= self._limit:
                    return
            run = self.machine.run(packet, state)
            if self.expectation.expect(packet, state).verdict is None:
                continue
            entry = next((run.entries[table] for table in CHAIN if table in run.entries), None)
            if entry is None:
                continue
            ends = SOURCE.own | TARGET.own | bits_mask(layout.PROTO) | bits_mask(layout.PORT)
            key = (
                entry & ~ends,
                packet["in_port"],
                packet["eth_type"],
                packet["ip_proto"],
                packet["eth_dst"],
                state,
            )
            if key in seen:
                continue
            seen.add(key)
            for leaf, allow in leaves:
                good: set[tuple[int, Mode | None]] = set()
                for (own, mode), sources in kinds[0].items():
                    for (far, other), targets in kinds[1].items():
                        registers = entry & ~(SOURCE.own | TARGET.own) | own | far
                        stricter = max(mode, other)
                        same = (registers & alive[leaf], None if allow else stricter)
                        if same in good:
                            continue
                        if self._behind(packet, state, leaf, allow, registers, stricter):
                            good.add(same)
                            continue
                        self._confirm(packet, state, leaf, allow, sources, targets)
                        if len(self.found) >= self._limit:
                            return

    def _read_after(self, table: int | None) -> int:
        """The register bits that rules from a table on match."""
        mask, left, seen = 0, [table], {table}
        while left:
            index = self.tables.get(left.pop() or -1)
            for group in () if index is None else index.groups.values():
                mask |= group.mask
            for rule in () if index is None else islice(index.rules(), 500):
                for action in rule.actions:
                    following = getattr(action, "table", None)
                    if following is not None and following not in seen:
                        seen.add(following)
                        left.append(following)
        return mask

    def _behind(
        self,
        packet: dict[str, int],
        state: int,
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
        edge = packet["in_port"] in expect.edges
        mac = expect.places.macs.get(packet["eth_dst"])
        local = mac is not None and mac[0] == expect.view.switch
        asked = original(packet, state)
        for counted in (False, True):
            self._count("passages behind the tiers")
            run = self.machine.run_from(leaf.table, packet, registers, state, state, counted)
            wanted = expect.after(
                verdict, asked, packet["in_port"], state, edge, local, expect.way(mac), counted
            )
            commits = [] if wanted.commit is None else [(expect.zone, MARKED)]
            reasons = tuple(register_bits(each, layout.REASON) for _, each in run.copies)
            good = (
                not run.lost
                and sorted(run.outputs) == sorted(wanted.outputs)
                and reasons == wanted.copies
                and all(meter == packet["in_port"] for meter, _ in run.copies)
                and run.commits == commits
                and not run.tracks
                and bool(run.learned) == wanted.learns
                and all(counts_one(learn, packet) for learn in run.learned)
                and register_bits(run.registers, layout.OUTCOME) == wanted.outcome
                and register_bits(run.registers, layout.INTENT) == MARKED
            )
            if not good:
                return False
        return True

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
                for sent in self.witnesses.packets(*found[:3], state):
                    for counted in (False, True):
                        if self._try(sent, state, counted):
                            return
        except Undecided as problem:
            self.unproven.append(str(problem))


def _coded_packets() -> Iterator[tuple[dict[str, int], int]]:
    """Connection packets in which bit number i of the fields is bit k of i in packet k."""
    for six in (False, True):
        for state in STATES:
            if state & ~TRK & 0x10:
                continue
            for proto in (1, 6, 17, 58, 132, 0, 47, 255):
                for step in range(10):
                    yield _coded(six, state, proto, step), state
            for kind in range(256):
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
    fields += [(f"{tracked}_src", width), (f"{tracked}_dst", width), ("ct_tp_dst", 16)]
    ported = tuple(PORT_NAMES.values())
    fields += [(name, 16) for name in packet if name.startswith(ported)]
    if state & REL:
        fields.append(("ct_nw_proto", 8))
    for name, bits in fields:
        packet[name] = sum((at + bit >> step & 1) << bit for bit in range(bits))
        at += bits
    return packet


__all__ = ["Counterexample", "Proof", "Prover", "prove", "End"]

"""One switch's rules and what they must do, with everything that was found so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies.rules import layout
from policies.rules.layout import Reason, RuleTable
from policies.verify.addresses import CHAIN
from policies.verify.boxes import Region, reachable_in
from policies.verify.classes import Classes, bitset
from policies.verify.differing import differences
from policies.verify.expect import Expectation
from policies.verify.expected import ExpectedPassage
from policies.verify.flows import ANSWERS, ASKS, Witnesses
from policies.verify.index import TableIndex, bits_mask
from policies.verify.machine import Machine, MachineRun
from policies.verify.packets import REL, SpecialPacket, audience_of
from policies.verify.proof import Counterexample, example_of
from policies.verify.ranges import Ranges
from policies.verify.representative_packets import World
from policies.verify.shared import Shared
from policies.verify.wildcard_rules import Loose

TRACKED = frozenset(
    {
        "ct_nw_src",
        "ct_nw_dst",
        "ct_ipv6_src",
        "ct_ipv6_dst",
        "ct_nw_proto",
        "ct_tp_src",
        "ct_tp_dst",
    }
)


CHECKED, FLOODED = bits_mask(layout.CHECKED), bits_mask(layout.FLOODED)
Flood = tuple[int, SpecialPacket | None]


def flood_of(run: MachineRun) -> Flood:
    """The register bits by which the rules of floods are chosen, and what the packet is."""
    chosen = run.entries[RuleTable.FORWARD] & (FLOODED | bits_mask(layout.AUDIENCE))
    return chosen, audience_of(run.packet)


def entry_of(run: MachineRun) -> int | None:
    """The registers with which a packet came to the tables that identify its ends."""
    return next((run.entries[table] for table in CHAIN if table in run.entries), None)


@dataclass(frozen=True, slots=True)
class Setting:
    """``connecting`` collects connection tables that are right, for the other switches."""

    tables: Mapping[int, TableIndex]
    expectation: Expectation
    shared: Shared
    world: World
    loose: Loose
    limit: int
    connecting: list[tuple[TableIndex | None, ...]] = field(default_factory=list)


class Attempt:
    """Runs packets, and keeps those that go wrong."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.tables, self.expectation = setting.tables, setting.expectation
        self.shared, self.world, self.loose = setting.shared, setting.world, setting.loose
        self._limit, self._switch = setting.limit, self.expectation.view.switch
        self.machine, self._other = Machine(self.tables), Machine(self.tables, last=True)
        if self.shared.ends is not None:
            self.witnesses = Witnesses(self.expectation, self.world, *self.shared.ends)
        self.found: list[Counterexample] = []
        # Reported where nothing plainer is found: ties, and ICMP errors about a connection.
        self.later: list[Counterexample] = []
        self.unproven: list[str] = []
        self.statistics: dict[str, int] = {}
        # Packets that met a flood's rule: one from each port for each rule and kind of audience.
        self.flooded: dict[tuple[int, Flood], tuple[dict[str, int], int]] = {}

    @property
    def enough(self) -> bool:
        """Whether there are counterexamples enough."""
        return len(self.found) >= self._limit

    def _count(self, name: str, number: int = 1) -> None:
        self.statistics[name] = self.statistics.get(name, 0) + number

    def try_all(self, packets: Iterable[tuple[dict[str, int], int]]) -> bool:
        for packet, state in packets:
            if self._try(packet, state) and self.enough:
                return True
        return False

    def _try(self, packet: dict[str, int], state: int, counted: bool = False) -> bool:
        """Run one packet; whether it is a counterexample."""
        return self._met(packet, state, counted)[2]

    def floods(self, packet: dict[str, int], state: int) -> Flood | None:
        """Try one packet; what rule of a flood it meets."""
        run, _, _ = self._met(packet, state, False)
        return flood_of(run) if run.entries.get(RuleTable.FORWARD, 0) & FLOODED else None

    def _try_counted(
        self, packet: dict[str, int], state: int
    ) -> tuple[MachineRun, ExpectedPassage, bool]:
        """Run one packet, and again as one of a connection that has a counting rule if that can
        make a difference: to the rules if they look for one, to what is wanted if that is
        counting. How the first fared, and whether either is a counterexample."""
        run, wanted, wrong = self._met(packet, state, False)
        if run.counting or wanted.learns:
            wrong = self._try(packet, state, True) or wrong
        return run, wanted, wrong

    def _met(
        self, packet: dict[str, int], state: int, counted: bool
    ) -> tuple[MachineRun, ExpectedPassage, bool]:
        run, wanted, wrong = self._compared(packet, state, counted, False)
        if wanted.copies == (Reason.CLIENT,):
            # The controller sends it on, checked: what becomes of it then counts.
            run, wanted, more = self._compared(packet, state, counted, True)
            wrong = wrong or more
        return run, wanted, wrong

    def _compared(
        self, packet: dict[str, int], state: int, counted: bool, checked: bool
    ) -> tuple[MachineRun, ExpectedPassage, bool]:
        self._count("packets")
        registers = CHECKED if checked else 0
        run = self.machine.run_from(0, packet, registers, 0, state, counted)
        if run.entries.get(RuleTable.FORWARD, 0) & FLOODED:
            self.flooded.setdefault((packet["in_port"], flood_of(run)), (packet, state))
        wanted = self.expectation.expect(packet, state, counted, checked)
        return run, wanted, self._is_wrong(packet, state, counted, run, wanted, registers)

    def _is_wrong(
        self,
        packet: dict[str, int],
        state: int,
        counted: bool,
        run: MachineRun,
        wanted: ExpectedPassage,
        registers: int,
    ) -> bool:
        wrong = self._differences(run, wanted)
        if run.tied:
            other = self._other.run_from(0, packet, registers, 0, state, counted)
            found = self._differences(other, wanted)
            if bool(found) != bool(wrong):  # wrong one way: all turns on which rule is taken
                shown = other if found else run
                said = [*found, *wrong, "two rules of one priority match: a switch may take either"]
                example = example_of(self._switch, packet, state, shown, wanted, said, counted)
                if not any(each.tied for each in self.later):
                    self.later.append(replace(example, tied=True))
                return bool(wrong)
        if not wrong:
            return False
        example = example_of(self._switch, packet, state, run, wanted, wrong, counted)
        if state & REL and any(packet[name] for name in packet if name in TRACKED):
            if not any(not each.tied for each in self.later):
                self.later.append(example)
                # A switch's trace knows no original tuple: the same with an empty one is plainer.
                empty = {name: 0 for name in packet if name in TRACKED}
                self._try(packet | empty, state, counted)
        elif not self.enough:
            self.found.append(example)
        return True

    def _differences(self, run: MachineRun, wanted: ExpectedPassage) -> list[str]:
        return differences(run, wanted, run.packet["in_port"], self.expectation.zone)

    def _reachable(
        self, box: Region, edge: bool | None = None, reply: bool | None = None
    ) -> Iterator[Region]:
        """The parts of a box that packets here can be in: a host sends with its own addresses,
        other switches send anything. ``edge`` and ``reply`` narrow it to such packets."""
        sources, targets, services = box
        for six in (False, True):
            asked = reachable_in(services, six)
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

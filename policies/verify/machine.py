"""A switch in software: what a packet meets in indexed tables, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from policies.rules.conntrack import INVALID, is_untrackable
from policies.rules.rule import (
    REMEMBERED,
    Bits,
    Commit,
    CopyToController,
    Goto,
    Learn,
    Load,
    Move,
    Output,
    OutputRegister,
    PopVlan,
    PushVlan,
    Resubmit,
    Rule,
    RuleAction,
    Track,
    UseMeter,
)
from policies.verify.index import TableIndex, place
from policies.verify.packets import leaving

MAX_STEPS = 64
FULL_TABLE = 1 << 16  # beside a connection's state: the switch can track no more of them


@dataclass(slots=True)
class MachineRun:
    """What a packet met and what became of it.

    ``outputs`` are as `policies.verify.packets.leaving` has them, ``copies`` are (meter,
    registers at that moment, bytes at most), ``commits`` (zone, mark) and the ``helpers`` of each,
    ``meters`` the numbers of those that it passed,
    ``entries`` the registers on entering each table, ``tags`` the VLAN tag there if it has one.
    """

    rules: list[Rule] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    copies: list[tuple[int, int, int]] = field(default_factory=list)
    commits: list[tuple[int, int]] = field(default_factory=list)
    helpers: list[str | None] = field(default_factory=list)
    meters: list[int] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    learned: list[Learn] = field(default_factory=list)
    entries: dict[int, int] = field(default_factory=dict)
    tags: dict[int, int] = field(default_factory=dict)
    packet: Mapping[str, int] = field(default_factory=dict)
    registers: int = 0
    lost: bool = False  # went round in circles
    tied: bool = False  # a switch could have taken another rule of the same priority
    counting: bool = False  # looked for a rule that the switch may have learned, and had none


@dataclass(frozen=True, slots=True)
class Flood:
    """Outputs one after the other, as one step: a switch has a thousand ports."""

    ports: list[int]
    known: frozenset[int]


MANY = 16  # actions, above which it pays to gather outputs


class Machine:
    """A switch in software over indexed tables."""

    def __init__(self, tables: Mapping[int, TableIndex], last: bool = False) -> None:
        self.tables, self._last = tables, last
        self._learned: dict[int, Learn | None] = {}
        self._floods: dict[int, tuple[tuple[RuleAction, ...], tuple[RuleAction | Flood, ...]]] = {}

    def run(self, packet: Mapping[str, int], ct_state: int, counted: bool = False) -> MachineRun:
        """Send a packet in; ``counted`` says whether its connection has a learned rule already."""
        return self.run_from(0, packet, 0, 0, ct_state, counted)

    def run_from(
        self,
        table: int | None,
        packet: Mapping[str, int],
        registers: int,
        now_state: int,
        ct_state: int,
        counted: bool = False,
    ) -> MachineRun:
        """The rest of a passage: from a table on, with these registers, ``now_state`` so far."""
        run = MachineRun(registers=registers, packet=packet)
        fields = dict(packet)
        fields["ct_state"] = now_state & ~FULL_TABLE
        fields.setdefault(REMEMBERED.field, 0)
        steps = 0
        while table is not None:
            steps += 1
            if steps > MAX_STEPS:
                run.lost = True
                break
            table = self._step(table, fields, ct_state, counted, run)
        return run

    def _step(
        self, table: int, fields: dict[str, int], ct_state: int, counted: bool, run: MachineRun
    ) -> int | None:
        run.entries.setdefault(table, run.registers)
        if "vlan_vid" in fields:
            run.tags.setdefault(table, fields["vlan_vid"])
        index = self.tables.get(table)
        rule = None
        if index is not None:
            rule = index.lookup(fields, run.registers, self._last)
            run.tied = run.tied or index.tied
        if rule is None:
            return None
        run.rules.append(rule)
        actions: Iterable[RuleAction | Flood] = rule.actions
        if len(rule.actions) > MANY:
            actions = self._gathered(rule.actions)
        return self._act(actions, fields, ct_state, counted, run)

    def _gathered(self, actions: tuple[RuleAction, ...]) -> tuple[RuleAction | Flood, ...]:
        """Actions with neighbouring outputs as one, worked out once."""
        known = self._floods.get(id(actions))
        if known is None:
            found: list[RuleAction | Flood] = []
            for is_output, part in groupby(actions, lambda each: type(each) is Output):
                if is_output:
                    ports = [each.port for each in part if isinstance(each, Output) and each.port]
                    found.append(Flood(ports, frozenset(ports)))
                else:
                    found += part
            # The actions are kept, so that no others get their id.
            known = self._floods[id(actions)] = (actions, tuple(found))
        return known[1]

    def _act(
        self,
        actions: Iterable[RuleAction | Flood],
        fields: dict[str, int],
        ct_state: int,
        counted: bool,
        run: MachineRun,
    ) -> int | None:
        following: int | None = None
        for action in actions:
            kind = type(action)
            if kind is Goto:
                following = action.table  # type: ignore[union-attr]
            elif kind is Load:
                write(run, fields, action.target, action.value)  # type: ignore[union-attr]
            elif kind is Move:
                write(run, fields, action.target, read(run, fields, action.source))  # type: ignore[union-attr]
            elif isinstance(action, Flood):
                came = fields.get("in_port")
                ports = action.ports
                if came in action.known:
                    ports = [port for port in ports if port != came]
                if tag := fields.get("vlan_vid"):
                    ports = [leaving(port, tag) for port in ports]
                run.outputs += ports
            else:
                other = self._effect(action, fields, ct_state, counted, run)
                following = following if other is None else other
        return following

    def _effect(
        self,
        action: RuleAction,
        fields: dict[str, int],
        ct_state: int,
        counted: bool,
        run: MachineRun,
    ) -> int | None:
        match action:
            case Output(port):
                _leave(run, fields, port)
            case OutputRegister(source):
                _leave(run, fields, read(run, fields, source))
            case CopyToController(meter, size):
                run.copies.append((meter, run.registers, size))
            case Resubmit(table):
                if len(run.rules) >= MAX_STEPS:
                    run.lost = True
                elif (learn := self._learns(table)) is not None and counted:
                    write(run, fields, learn.load.target, learn.load.value)
                else:
                    run.counting = run.counting or learn is not None
                    self._step(table, fields, ct_state, counted, run)
            case Track(zone, table):
                spoilt = fields["ct_state"] and is_untrackable(fields, run.packet)
                fields["ct_state"] = INVALID if spoilt else ct_state & ~FULL_TABLE
                run.tracks.append(zone)
                return table
            case PushVlan():
                fields["vlan_vid"] = 0x1000
            case PopVlan():
                fields.pop("vlan_vid", None)
            case Commit(zone, table, mark, helper):
                run.helpers.append(helper)
                run.commits.append((zone, 0 if mark is None else read(run, fields, mark)))
                write(run, fields, REMEMBERED, int(not ct_state & FULL_TABLE))
                return table
            case UseMeter(number):
                run.meters.append(number)
            case Learn():
                run.learned.append(action)
        return None

    def _learns(self, table: int) -> Learn | None:
        """What rules that the switch adds itself do in a table."""
        if table not in self._learned:
            self._learned[table] = self._find_learn(table)
        return self._learned[table]

    def _find_learn(self, table: int) -> Learn | None:
        for index in self.tables.values():
            for group in index.groups.values():
                if len(group.rules) > MAX_STEPS:
                    continue
                for rule in group.rules.values():
                    for action in rule.actions:
                        if isinstance(action, Learn) and action.table == table:
                            return action
        return None


def _leave(run: MachineRun, fields: Mapping[str, int], port: int) -> None:
    if port not in (0, fields.get("in_port")):
        run.outputs.append(leaving(port, fields.get("vlan_vid", 0)))


def read(run: MachineRun, fields: Mapping[str, int], bits: Bits) -> int:
    at = place(bits.field, bits.low)
    whole = fields.get(bits.field, 0) >> bits.low if at is None else run.registers >> at
    return whole & (1 << bits.width) - 1


def write(run: MachineRun, fields: dict[str, int], bits: Bits, value: int) -> None:
    mask = (1 << bits.width) - 1
    at = place(bits.field, bits.low)
    if at is None:
        whole = fields.get(bits.field, 0)
        fields[bits.field] = whole & ~(mask << bits.low) | (value & mask) << bits.low
    else:
        run.registers = run.registers & ~(mask << at) | (value & mask) << at

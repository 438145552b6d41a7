"""Whether what the tiers decide is done: every kind of packet, with every way out of the tiers."""

from __future__ import annotations

from itertools import chain, islice

from policies.model import Action, Connection, Mode, Tier, Verdict
from policies.rules import layout
from policies.rules.rule import Bits
from policies.verify.addresses import CHAIN, SOURCE, TARGET
from policies.verify.attempt import Attempt, entry_of
from policies.verify.boxes import INTENT, Leaf, service_number
from policies.verify.differing import counts_one, odd_copies, odd_meters, reasons_of
from policies.verify.expected import ExpectedPassage
from policies.verify.flows import flow_packets
from policies.verify.fragments import fragment_of, is_fragment
from policies.verify.groups import group_packets
from policies.verify.index import bits_mask, place, register_bits
from policies.verify.machine import MachineRun
from policies.verify.packets import IP, RPL, original
from policies.verify.ranges import Undecided
from policies.verify.wildcard_rules import apart

# What is judged behind the tiers, beside the way that the packet goes and its state.
JUDGED = frozenset({"in_port", "eth_type", "ip_proto", "tcp_flags", "ip_frag"})
MARKED = 0x5A5A_A5A5  # an intent number that stands for any


class Passages(Attempt):
    """The step about what is behind the tiers."""

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
            entry = entry_of(run)
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
            asked = original(packet, state, self.expectation.helped)
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

    def _does(self, run: MachineRun, wanted: ExpectedPassage, packet: dict[str, int]) -> bool:
        """Whether the tables behind the tiers did what is wanted, for any intent."""
        mark = 0 if is_fragment(packet) else MARKED
        commits = [] if wanted.commit is None else [(self.expectation.zone, mark)]
        return (
            not run.lost
            and len(run.outputs) == len(wanted.outputs)
            and wanted.outputs == set(run.outputs)
            and reasons_of(run) == wanted.copies
            and not odd_copies(run, packet["in_port"])
            and not odd_meters(run, packet["in_port"])
            and run.commits == commits
            and (not commits or run.helpers == [wanted.helper])
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
        base = service_number(packet["eth_type"] != IP, packet["ip_proto"])
        services = ((base, base | 0xFFFF),)
        try:
            edge = packet["in_port"] in self.expectation.edges
            reply = bool(state & RPL)
            for part in self._reachable((sources, targets, services), edge, reply):
                found = self.shared.judging.decided(leaf, allow, part)
                if found is None:
                    continue
                for witness in self.witnesses.packets(*found, state):
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

"""The proof for one switch without connection tracking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.compiler import SwitchView
from policies.compiler.targets import Form, SwitchTarget
from policies.model import Connection, Policy
from policies.rules.layout import Category, category_of
from policies.rules.rule import Rule
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.packets import EST, NEW, RPL, original
from policies.verify.proof import Counterexample, Proof
from policies.verify.ranges import Undecided
from policies.verify.stateless.atoms import numbers
from policies.verify.stateless.meaning import FLOOD, Fate, Meaning, SmallMeaning
from policies.verify.stateless.parts import Parts
from policies.verify.stateless.shapes import Region, Shape, Universe
from policies.verify.stateless.walk import FIRST, REPLY, State, Walk, labelled
from topology.records import Binding

TRIED = 16  # packets of a region that are run until one shows what is wrong


def prove_stateless(
    form: Form,
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    rules: Sequence[Rule],
    now: float,
    limit: int = 1,
) -> Proof:
    """Whether the rules of a switch without connection tracking do with every packet what the
    policy says; up to ``limit`` counterexamples."""
    small = form.target is SwitchTarget.SINGLE
    places = AttachmentPoints.of(bindings, () if small else policy.hosts)
    kind = SmallMeaning if small else Meaning
    meaning = kind(policy, membership, view, places, now, form.port_masks)
    return _Proof(meaning, rules, limit).run()


class _Enough(Exception):
    """There are as many counterexamples as were asked for."""


class _Proof:
    def __init__(self, meaning: Meaning, rules: Sequence[Rule], limit: int) -> None:
        self._meaning, self._rules, self._limit = meaning, rules, limit
        self._found: list[Counterexample] = []
        self._unproven: list[str] = []
        self._tables: dict[int, list[Rule]] = {}
        for rule in rules:
            self._tables.setdefault(rule.table, []).append(rule)
        self._interpreter = Interpreter(rules)

    def run(self) -> Proof:
        regions = 0
        try:
            universe = Universe(self._rules, self._meaning)
            parts = Parts(self._meaning, universe)
            for shape in list(universe.shapes()):
                walk = Walk(
                    shape,
                    self._tables,
                    parts,
                    lambda region, actual, state, shape=shape: self._suspect(  # type: ignore[misc]
                        shape, parts, region, actual, state
                    ),
                    self._meaning.attributes,
                )
                walk.run()
                regions += walk.regions
        except _Enough:
            pass
        except Undecided as problem:
            self._unproven.append(str(problem))
        switch = self._meaning.view.switch
        unproven = () if self._found else tuple(f"switch {switch}: {p}" for p in self._unproven)
        statistics = {"rules": len(self._rules), "regions": regions}
        holds = not self._found and not unproven
        return Proof(holds, tuple(self._found), unproven, statistics)

    def _suspect(
        self, shape: Shape, parts: Parts, region: Region, actual: Region, state: State
    ) -> None:
        """Run packets of a region that goes wrong; without one that shows it nothing is proven."""
        for packet in _packets(shape, parts, actual):
            example = self._example(packet, state.tied)
            if example is not None:
                self._found.append(example)
                if len(self._found) >= self._limit:
                    raise _Enough
                return
        self._unproven.append("rules and policy seem to differ where no packet shows it")

    def _example(self, packet: dict[str, int], tied: Rule | None) -> Counterexample | None:
        interpreter = self._interpreter if tied is None else Interpreter((tied, *self._rules))
        passage = interpreter.run(packet, 0)
        first = [rule.cookie for rule in passage.rules if _decides(rule) and rule.table in FIRST]
        reply = [rule.cookie for rule in passage.rules if _decides(rule) and rule.table in REPLY]
        fate = self._meaning.fate(packet)
        differences = self._differences(
            fate,
            packet["in_port"],
            passage.outputs,
            bool(passage.copies),
            first[-1] if first else None,
            reply[-1] if reply else None,
        )
        if not differences:
            return None
        asked, direction, intent = self._asked(packet, fate)
        deciding = [rule for rule in passage.rules if _decides(rule)] or passage.rules
        return Counterexample(
            self._meaning.view.switch,
            packet,
            0,
            packet["in_port"],
            direction,
            asked,
            intent,
            deciding[-1] if deciding else None,
            tuple(passage.rules),
            tuple(differences),
            tied=tied is not None,
        )

    def _differences(
        self,
        fate: Fate,
        port: int,
        outputs: Sequence[int],
        reported: bool,
        first: int | None,
        reply: int | None,
    ) -> list[str]:
        found = []
        view = self._meaning.view
        wanted = set() if fate.output is None else {fate.output}
        if fate.output == FLOOD:
            wanted = {*view.ports, *view.trunks} - {port}
        if sorted(outputs) != sorted(wanted):
            found.append(f"the rules {_sent(outputs)}, the policy says: {_sent(sorted(wanted))}")
        if fate.report is not None and reported != fate.report:
            found.append("reported to the controller" if reported else "not reported")
        if self._meaning.attributes and not labelled(fate, first, reply):
            found.append("the rules that decide carry other cookies than the intent's")
        return found

    def _asked(
        self, packet: Mapping[str, int], fate: Fate
    ) -> tuple[Connection | None, str, str | None]:
        """The connection that decides: the packet's own, or the one that it would answer."""
        if not fate.judged:
            return None, "any", None
        verdict = self._meaning.judge.verdict
        own, other = original(packet, NEW), original(packet, EST | RPL)
        if fate.reply is not None and not verdict(own, self._meaning.now).forwarded:
            said = verdict(other, self._meaning.now)
            if said.forwarded:
                return other, "reply", said.intent
        return own, "new", verdict(own, self._meaning.now).intent


def _decides(rule: Rule) -> bool:
    return category_of(rule.cookie) in (Category.INTENT, Category.DEFAULT)


def _packets(shape: Shape, parts: Parts, region: Region) -> list[dict[str, int]]:
    """Some packets of a region: one, and others that differ from it in one field."""
    chosen = {
        name: parts.atoms(name).example(bits)
        for name, bits in zip(shape.fields, region, strict=True)
    }
    chosen |= dict(shape.fixed)
    packets = [chosen]
    for name, bits in zip(shape.fields, region, strict=True):
        for number in list(numbers(bits))[1:3]:
            packets.append(chosen | {name: parts.atoms(name).values[number]})
    return packets[:TRIED]


def _sent(ports: Sequence[int]) -> str:
    listed = ", ".join(str(port) for port in sorted(ports))
    return f"forward to port {listed}" if listed else "drop"

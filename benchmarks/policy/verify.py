"""What proving a large policy costs, and whether it notices faults.

Times are processor seconds of one core. The faults are traced on a real bridge where Open vSwitch
runs; elsewhere that line says that it was not measured.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from random import Random

from benchmarks.policy.generator import generate
from benchmarks.runner import Benchmark, Figure, MissingData, Target, median
from mininet_tests.experiments.traced import Bridge, SwitchError
from policies.compiler import (
    Compiler,
    RuleChange,
    SwitchView,
    Update,
    declared_bindings,
    view_rules,
)
from policies.compiler.common.changes import change_between
from policies.language.reader import load_policy
from policies.model import Action, Host, Policy, Service
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.verify import Counterexample, Proof, Prover
from tests.support.mutations import mutations
from tests.support.oracle import Oracle
from topology.fabric import Fabric
from topology.records import Binding, Link

SWITCHES = 8
FAULTS = 200
SEED = 7
NOW = 0.0


@dataclass(slots=True)
class VerifiedPolicy:
    """A policy with its compiler and prover."""

    policy: Policy
    bindings: tuple[Binding, ...]
    membership: Membership
    views: dict[int, SwitchView]
    compiler: Compiler
    prover: Prover

    def rules(self) -> dict[int, tuple[Rule, ...]]:
        return {number: self.compiler.rules(view, NOW) for number, view in self.views.items()}

    def becomes(self, policy: Policy, view: SwitchView | None = None) -> tuple[float, Proof]:
        """Seconds that proving another policy takes, the rules' difference being known."""
        bindings = declared_bindings(policy)
        bindings = _same_objects(self.bindings, bindings)
        membership = follow(self.membership, policy, bindings)
        change = self.compiler.update(policy, membership, bindings, NOW)
        if view is not None:
            before = view_rules(self.views[view.switch])
            own = change_between(before, view_rules(view))
            single = dict(change.single)
            single[view.switch] = single.get(view.switch, RuleChange()) + own
            change = Update(change.everywhere, single)
            self.views[view.switch] = view
        start = time.process_time()
        proof = self.prover.update(policy, membership, bindings, change, views=self.views)
        spent = time.process_time() - start
        self.policy, self.bindings, self.membership = policy, bindings, membership
        return spent, proof


def _same_objects(old: tuple[Binding, ...], new: tuple[Binding, ...]) -> tuple[Binding, ...]:
    """The new bindings, the old objects where they are equal, as a running controller has it."""
    known = {each: each for each in old}
    return tuple(known.get(each, each) for each in new)


def running(policy: Policy, links: tuple[Link, ...], limit: int = 1) -> VerifiedPolicy:
    bindings = declared_bindings(policy)
    membership = Membership(policy, bindings)
    fabric = Fabric.of(links)
    views = {
        number: SwitchView(
            number,
            tuple(sorted({each.port for each in bindings if each.switch == number})),
            fabric.trunks(number),
            fabric.next_ports(number),
        )
        for number in sorted({each.switch for each in bindings})
    }
    compiler = Compiler(policy, membership, bindings, NOW)
    prover = Prover(policy, membership, views, bindings, NOW, limit)
    return VerifiedPolicy(policy, bindings, membership, views, compiler, prover)


@cache
def large() -> tuple[VerifiedPolicy, float, Proof]:
    """The pinned policy, proven once: how long that took."""
    with tempfile.TemporaryDirectory() as folder:
        policy = load_policy([generate(Path(folder), switches=SWITCHES)])
    links = tuple(Link(n, 20_000 + n, n + 1, 30_000 + n) for n in range(1, SWITCHES))
    network = running(policy, links)
    rules = network.rules()
    start = time.process_time()
    proof = network.prover.prove(rules)
    return network, time.process_time() - start, proof


def whole() -> Figure:
    _, seconds, proof = large()
    if not proof.holds:
        raise RuntimeError("the rules of the pinned policy do not hold")
    return Figure(seconds, f"{proof.statistics['rules']:,} rules on {SWITCHES} switches")


def after_intent() -> Figure:
    """An intent comes, changes its action, and goes."""
    network, _, _ = large()
    times = []
    for number in range(100, 103):
        policy = network.policy
        model = policy.intents[number]
        new = replace(model, name=f"new-{number}", services=(Service(6, 1234, 1240),))
        other = Action.DENY if new.action is Action.ALLOW else Action.ALLOW
        steps = [(*policy.intents, new), (*policy.intents, replace(new, action=other))]
        for intents in (*steps, policy.intents):
            times.append(_held(network.becomes(replace(policy, intents=intents))))
    return median(1000 * each for each in times)


def after_host() -> Figure:
    """A host comes on a port of its own, and goes."""
    network, _, _ = large()
    times = []
    for number in range(3):
        policy, view = network.policy, network.views[3]
        port = max(view.ports) + 1
        host = Host(
            f"new-{number}",
            f"02:aa:00:00:00:{number:02x}",
            (ip_address(f"10.250.0.{number + 1}"), ip_address(f"fd00:250::{number + 1}")),
            3,
            port,
            labels=policy.hosts[631 * number].labels,
        )
        wider = replace(view, ports=(*view.ports, port))
        more = replace(policy, hosts=(*policy.hosts, host))
        times.append(_held(network.becomes(more, wider)))
        times.append(_held(network.becomes(policy, view)))
    return median(1000 * each for each in times)


def _held(result: tuple[float, Proof]) -> float:
    seconds, proof = result
    if not proof.holds:
        raise RuntimeError("the rules after a change do not hold")
    return seconds


@dataclass(slots=True)
class Faults:
    """Faults in the rules of one small network's first switch, and what became of them.

    ``changing`` changes what the oracle's packets meet; each stands with the prover's
    counterexample, None where it reported none. ``others`` change nothing that the oracle saw,
    ``doubted`` are those of them that the prover reported all the same.
    """

    rules: tuple[Rule, ...]
    changing: list[tuple[tuple[Rule, ...], Counterexample | None]] = field(default_factory=list)
    others: int = 0
    doubted: int = 0

    def traceable(self) -> list[tuple[tuple[Rule, ...], Counterexample]]:
        """Those that a trace can show: it takes one of two tied rules, always the same."""
        return [(r, each) for r, each in self.changing if each is not None and each.traceable]


@cache
def faulty() -> Faults:
    """As many faults as are named that change what some packet meets, each given to the prover."""
    with tempfile.TemporaryDirectory() as folder:
        path = generate(Path(folder), hosts=24, segments=9, intents=24, switches=2, seed=SEED)
        policy = load_policy([path])
    network = running(policy, (Link(1, 901, 2, 902),))
    rules, view = network.rules()[1], network.views[1]
    oracle = Oracle(policy, network.membership, view, network.bindings, rules, SEED)
    faults = Faults(rules)
    for _, mutant, (before, after) in mutations(rules, Random(SEED), 10 * FAULTS):
        changes = oracle.shown(mutant, before, after) is not None
        prover = Prover(policy, network.membership, {1: view}, network.bindings, NOW)
        example = next(iter(prover.prove({1: mutant}).counterexamples), None)
        if changes:
            faults.changing.append((mutant, example))
        else:
            faults.others += 1
            faults.doubted += example is not None
        if len(faults.traceable()) == FAULTS:
            break
    return faults


def missed() -> Figure:
    """Faults without a counterexample, of those that change what a packet meets."""
    faults = faulty()
    number = sum(example is None for _, example in faults.changing)
    quiet = faults.others - faults.doubted
    note = (
        f"of {len(faults.changing)} single-rule faults that change what a packet meets, as packets "
        f"drawn without the prover show; of {faults.others} more, {quiet} change nothing and "
        f"{faults.doubted} only what those packets miss"
    )
    return Figure(number, note)


def confirmed() -> Figure:
    """Counterexamples that Open vSwitch's own trace shows to be treated otherwise."""
    faults = faulty()
    given = faults.traceable()
    with _bridge() as bridge:
        shown = 0
        for mutant, example in given:
            bridge.load(faults.rules, counted=example.counted)
            before = bridge.trace(example)
            bridge.load(mutant, counted=example.counted)
            shown += bridge.trace(example) != before
    beyond = sum(each is not None for _, each in faults.changing) - len(given)
    return Figure(shown, f"of {len(given)} counterexamples; {beyond} more are beyond a trace")


@contextmanager
def _bridge() -> Iterator[Bridge]:
    try:
        bridge = Bridge("sptprvbench")
    except SwitchError as problem:
        raise MissingData(str(problem)) from problem
    try:
        yield bridge
    finally:
        bridge.close()


_MEASURES: tuple[tuple[str, Target, Callable[[], Figure]], ...] = (
    ("policy.verify_s", Target("<=", 10.0, "s"), whole),
    ("policy.verify_intent_ms", Target("<=", 100.0, "ms"), after_intent),
    ("policy.verify_host_ms", Target("<=", 100.0, "ms"), after_host),
    ("policy.verify_faults_missed", Target("==", 0.0), missed),
    ("policy.verify_faults_traced", Target("==", float(FAULTS)), confirmed),
)
BENCHMARKS = tuple(Benchmark(*each) for each in _MEASURES)

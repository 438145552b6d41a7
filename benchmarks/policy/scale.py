"""Compiling a large policy, and following small changes of it.

Times are medians of processor time on one core, so that what else runs does not count. Everything
from a checked policy to all switches' rules counts as compiling. The memory is that of a process
of its own that reads, checks and compiles.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.policy.generator import generate, links
from benchmarks.policy.host_by_host import host_by_host
from benchmarks.runner import Benchmark, Figure, Target, median
from policies.compiler import Compiler, SwitchView, declared_bindings
from policies.language.reader import load_policy
from policies.model import TCP, Host, Intent, Policy, Service
from policies.review.lint import check_policy
from policies.rules.layout import RuleTable
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from topology.fabric import Fabric
from topology.gc_tuning import collect_rarely, collection_paused
from topology.records import Binding

RUNS = 5
CHANGES = 15
SWITCHES = 8
MEGABYTE = 1024  # in the unit of ru_maxrss
MEASURE_MEMORY = "from benchmarks.policy.scale import print_peak; print_peak()"


@cache
def policy() -> Policy:
    with TemporaryDirectory() as folder:
        return load_policy([str(generate(Path(folder)))])


@collection_paused()
def compile_all(wanted: Policy) -> list[tuple[Rule, ...]]:
    """The rules of all switches, from the policy alone."""
    bindings = declared_bindings(wanted)
    compiler = Compiler(wanted, Membership(wanted), bindings, now=0.0)
    return [compiler.rules(view) for view in views(bindings)]


def views(bindings: tuple[Binding, ...]) -> list[SwitchView]:
    fabric = Fabric.of(links(SWITCHES))
    ports: dict[int, set[int]] = {switch: set() for switch in range(1, SWITCHES + 1)}
    for binding in bindings:
        ports[binding.switch].add(binding.port)
    return [
        SwitchView(
            switch,
            tuple(sorted(own | fabric.trunks(switch))),
            fabric.trunks(switch),
            fabric.next_ports(switch),
        )
        for switch, own in ports.items()
    ]


@cache
def compiled() -> list[Counter[int]]:
    """Rules per table, for each switch."""
    return [Counter(rule.table for rule in rules) for rules in compile_all(policy())]


def seconds(work: Callable[[], object], runs: int = RUNS) -> Figure:
    """Each run starts with nothing to clear away, and keeps the collector as users have it."""
    times = []
    for _ in range(runs):
        gc.collect()
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return median(times)


def read_and_check() -> Figure:
    with TemporaryDirectory() as folder:
        path = str(generate(Path(folder)))

        def work() -> None:
            read = load_policy([path])
            check_policy(read, Membership(read), now=0.0)

        return seconds(work, runs=3)


def compiling() -> Figure:
    wanted = policy()
    figure = seconds(lambda: compile_all(wanted))
    total = sum(sum(tables.values()) for tables in compiled())
    return Figure(figure.value, f"{figure.note}; {total:,} rules on {SWITCHES} switches")


def print_peak() -> None:
    """Read, check and compile, and say how many megabytes that took at most."""
    collect_rarely()
    read = load_policy([sys.argv[1]])
    check_policy(read, Membership(read), now=0.0)
    rules = compile_all(read)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    print(peak if rules else 0)


def peak_memory() -> Figure:
    with TemporaryDirectory() as folder:
        argv = [sys.executable, "-c", MEASURE_MEMORY, str(generate(Path(folder)))]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    return Figure(float(done.stdout), "a process that reads, checks and compiles")


def identity_rules() -> Figure:
    """Rules per address of the inventory, the link-local address of each MAC among them."""
    hosts = policy().hosts
    addresses = sum(len(host.ips) + (host.mac is not None) for host in hosts)
    declared = sum(len(host.ips) for host in hosts)
    most = max(tables[RuleTable.SOURCE] + tables[RuleTable.TARGET] for tables in compiled())
    note = f"{most:,} rules, {addresses:,} addresses; {most / declared:.3g} of each declared one"
    return Figure(most / addresses, note)


def policy_rules() -> Figure:
    pairs = sum(len(intent.services) for intent in policy().intents)
    most = max(tables[RuleTable.EMERGENCY] + tables[RuleTable.POLICY] for tables in compiled())
    return Figure(most / pairs, f"{most:,} rules, {pairs:,} intents and services")


def fewer_than_expansion() -> Figure:
    wanted = policy()
    expanded = host_by_host(wanted, Membership(wanted))
    most = max(sum(tables.values()) for tables in compiled())
    return Figure(expanded / most, f"{expanded:,} host by host, {most:,} on the largest switch")


class CompiledPolicy:
    """A compiler as the controller keeps it, with every switch asked for once."""

    def __init__(self) -> None:
        self.policy = policy()
        self.bindings = declared_bindings(self.policy)
        self.membership = Membership(self.policy, self.bindings)
        self.compiler = Compiler(self.policy, self.membership, self.bindings, now=0.0)
        for view in views(self.bindings):
            self.compiler.rules(view)
        self.changed: list[int] = []

    def change(self, new: Policy, bindings: tuple[Binding, ...]) -> float:
        """Milliseconds until the rules that come and go are known."""
        start = time.process_time()
        membership = follow(self.membership, new, bindings)
        update = self.compiler.update(new, membership, bindings, now=0.0)
        took = (time.process_time() - start) * 1000
        self.policy, self.membership, self.bindings = new, membership, bindings
        everywhere = len(update.everywhere.added) + len(update.everywhere.removed)
        single = [len(c.added) + len(c.removed) for c in update.single.values()]
        self.changed.append(everywhere + max(single, default=0))
        return took

    def figure(self, times: list[float]) -> Figure:
        figure = median(times)
        ordered = sorted(self.changed)
        rules = f"{ordered[len(ordered) // 2]} rules on one switch, at most {ordered[-1]}"
        return Figure(figure.value, f"{figure.note}; {rules}")


def adding_a_host() -> Figure:
    """A declared host with two addresses, in a group that is there."""
    running = CompiledPolicy()
    gc.collect()
    times = []
    for number in range(CHANGES):
        like = running.policy.hosts[number * 631]
        ips = (ip_address(f"10.200.0.{number + 1}"), ip_address(f"fd00:200::{number + 1:x}"))
        mac = f"02:00:00:01:00:{number:02x}"
        host = Host(f"new{number}", mac, ips, 1, 15_000 + number, labels=like.labels)
        new = replace(running.policy, hosts=(*running.policy.hosts, host))
        own = (Binding(mac, str(ip), 1, 15_000 + number, host.name) for ip in ips)
        times.append(running.change(new, (*running.bindings, *own)))
    return running.figure(times)


def finding_a_host() -> Figure:
    """A host that nobody declared, found by its packets."""
    running = CompiledPolicy()
    gc.collect()
    times = []
    for number in range(CHANGES):
        found = Binding(f"02:00:00:02:00:{number:02x}", f"10.201.0.{number + 1}", 2, 16_000)
        times.append(running.change(running.policy, (*running.bindings, found)))
    return running.figure(times)


def adding_an_intent() -> Figure:
    running = CompiledPolicy()
    gc.collect()
    times = []
    names = [segment.name for segment in running.policy.segments]
    for number in range(CHANGES):
        service = Service(TCP, 10_000 + number, 10_000 + number)
        ends = (names[number * 7],), (names[number * 11 + 3],)
        intent = Intent(f"new-{number}", *ends, (service, Service(TCP, 443, 443)))
        new = replace(running.policy, intents=(*running.policy.intents, intent))
        times.append(running.change(new, running.bindings))
    return running.figure(times)


BENCHMARKS = (
    Benchmark("policy.read_check_s", Target("<=", 4.0, "s"), read_and_check),
    Benchmark("policy.compile_s", Target("<=", 1.5, "s"), compiling),
    Benchmark("policy.peak_memory_mb", Target("<=", 500.0, "MB"), peak_memory),
    Benchmark("policy.identity_rules_per_address", Target("<=", 2.0), identity_rules),
    Benchmark("policy.rules_per_intent_service", Target("<=", 4.0), policy_rules),
    Benchmark("policy.fewer_than_host_by_host", Target(">=", 100.0), fewer_than_expansion),
    Benchmark("policy.add_host_ms", Target("<=", 10.0, "ms"), adding_a_host),
    Benchmark("policy.find_host_ms", Target("<=", 10.0, "ms"), finding_a_host),
    Benchmark("policy.add_intent_ms", Target("<=", 10.0, "ms"), adding_an_intent),
)

"""The main job on real switches: a benign day with an attack in it, watched from both ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mininet_tests.lab.captures import RecordedFrame, hostile_arrived, hostile_sent, reached
from mininet_tests.lab.controller import Controller, ControllerOptions, free_port, port_is_free
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.machine import require_programs
from mininet_tests.lab.plan import LabError, LabPlan, plan_from_policy
from mininet_tests.lab.programs import (
    CLIENT_PROGRAMS,
    SERVER_PROGRAMS,
    LabPrograms,
    prepare_site,
    start_services,
)
from mininet_tests.lab.recorder import InterfaceRecorder
from mininet_tests.scenario.attack import AttackLog, carry_out, hostile_of
from mininet_tests.scenario.day import Day
from mininet_tests.scenario.evidence import audit_problems, first_alert, read_evidence
from mininet_tests.scenario.scenario import Attack, Scenario
from mininet_tests.scenario.schedule import benign_day
from mininet_tests.scenario.timeline import (
    HostileTraffic,
    ScenarioResult,
    containment_of,
    shares_of,
)
from policies.language.reader import load_policy

LONGEST_DAY = 300.0  # seconds of benign requests drawn in advance
ATTACK_PROGRAMS = ("nmap", "ncat", "tcpdump")
SETTLE = 0.5  # seconds for the last records to reach the state directory


@dataclass(frozen=True, slots=True)
class Options:
    """How to play a scenario. ``of_port`` None: a free one; ``state`` None: kept nowhere."""

    seed: int = 1
    adapt: bool = True
    benign_only: bool = False
    of_port: int | None = None
    state: Path | None = None


Tell = Callable[[str], None]


def lab_plan(scenario: Scenario) -> LabPlan:
    """The network of a scenario: its policy's hosts on its cables."""
    plan = plan_from_policy(load_policy([scenario.policy]), scenario.links)
    missing = scenario.names() - set(plan.names)
    if missing:
        raise LabError(f"{scenario.policy}: declares no host {', '.join(sorted(missing))}")
    return plan


def play(scenario: Scenario, options: Options, tell: Tell) -> ScenarioResult:
    """Play ``scenario`` against a controller of its own; what came of it.

    ``tell`` hears what is going on. Everything that was started is gone when
    this returns or raises.
    """
    require_programs((*CLIENT_PROGRAMS, *SERVER_PROGRAMS, *ATTACK_PROGRAMS))
    plan = lab_plan(scenario)
    port = options.of_port if options.of_port is not None else free_port()
    if not port_is_free(port):
        raise LabError(f"port {port} on 127.0.0.1 is in use: choose another (--of-port)")
    with ExitStack() as stack:
        tell(f"starting {len(plan.switches)} switches and {len(plan.hosts)} hosts")
        lab = stack.enter_context(Lab(plan, f"tcp:127.0.0.1:{port}"))
        state = _state_directory(options.state, lab)
        settings = ControllerOptions(
            scenario.policy, state, port, len(plan.switches), adapt=options.adapt
        )
        controller = Controller(settings, state)
        stack.callback(controller.stop)
        controller.start()
        attack = None if options.benign_only else scenario.attack
        tell(f"starting {len(scenario.services)} servers")
        site = prepare_site(lab, scenario.keys, (attack.reads,) if attack else ())
        start_services(site, scenario.services)
        tell("waiting for the controller to bring the switches to the policy")
        controller.wait_ready()
        result = _live(site, scenario, options, attack, state, tell)
        if not controller.running:
            raise LabError(f"the controller ended during the run: {controller.last_line()}")
        tell("taking everything down")
        return result


def _state_directory(kept: Path | None, lab: Lab) -> Path:
    state = lab.directory / "state" if kept is None else kept
    if state.exists() and any(state.iterdir()):
        raise LabError(
            f"{state}: not empty; --keep-state wants a new directory for this run's state"
        )
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state


def _live(
    site: LabPrograms,
    scenario: Scenario,
    options: Options,
    attack: Attack | None,
    state: Path,
    tell: Tell,
) -> ScenarioResult:
    """The day itself, with everything already running."""
    plan = site.lab.plan
    recorder = (
        None if attack is None else InterfaceRecorder(site.lab, plan.names, _watched_ports(attack))
    )
    addresses = {host.name: host.ips for host in plan.hosts}
    day = Day(site, benign_day(scenario.benign, addresses, options.seed, LONGEST_DAY))
    try:
        if attack is None or recorder is None:
            _wait(day, scenario.benign_only, "benign day", tell)
            log, recordings = None, {}
        else:
            _wait(day, scenario.before, "benign day, nothing unusual", tell)
            log = carry_out(site, attack, tell)
            _wait(day, scenario.after, "benign day goes on", tell)
        tell("waiting for the last requests")
        outcomes = day.finish()
    finally:
        day.abandon()
    if recorder is not None:
        recordings = recorder.stop()
    time.sleep(SETTLE)
    found = read_evidence(state, time.time())
    decisions = tuple(entry.decision for entry in found)
    audit = audit_problems(state, time.time())
    if attack is None or log is None:
        shares, failures = shares_of(outcomes, None, (), None)
        return ScenarioResult(None, None, None, None, decisions, shares, failures, audit)
    suspects = {attack.host, *log.pivots}
    stop = containment_of(found, suspects)
    unheeded = None
    if stop is None:
        own = {ip for name in suspects for ip in plan.host(name).ips} | suspects
        unheeded = first_alert(state, own, time.time())
    seen = observe(attack, log, plan, recordings)
    start = seen.first_sent if seen.first_sent is not None else log.began
    shares, failures = shares_of(
        outcomes,
        (start, log.ended),
        {c.decision.target for c in found if c.decision.target in suspects},
        None if stop is None else stop.decision.ts,
    )
    return ScenarioResult(
        log, seen, attack.host, stop, decisions, shares, failures, audit, unheeded
    )


def observe(
    attack: Attack, log: AttackLog, plan: LabPlan, recordings: dict[str, list[RecordedFrame]]
) -> HostileTraffic:
    """What the recordings say: measured where packets leave and where they arrive."""
    hostile = hostile_of(attack, log, plan)
    own = [packet for name in (attack.host, *log.pivots) for packet in recordings[name]]
    others = {name: packets for name, packets in recordings.items() if name != attack.host}
    sent = hostile_sent(hostile, own)
    arrived = hostile_arrived(hostile, {n: _received(plan, n, p) for n, p in others.items()})
    last = arrived[-1] if arrived else None
    return HostileTraffic(
        first_sent=sent[0].ts if sent else None,
        sent=len(sent),
        last_through=None if last is None else last[1].ts,
        last_through_to=None if last is None else last[0],
        through=len(arrived),
        reached=reached(hostile, others),
    )


def _received(plan: LabPlan, name: str, packets: list[RecordedFrame]) -> list[RecordedFrame]:
    own = set(plan.host(name).ips)
    return [packet for packet in packets if packet.dst in own]


def _watched_ports(attack: Attack) -> tuple[int, ...]:
    return tuple(sorted({*attack.ports, 22}))


def _wait(day: Day, seconds: float, what: str, tell: Tell) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        done = day.outcomes
        answered = sum(outcome.ok for outcome in done)
        tell(f"{what}: {len(done)} requests, {answered} answered")
        time.sleep(min(0.5, left))

"""SIGKILL at random points of decisions' lives: what must agree afterwards, and whether it does."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from analysis.python_program import command
from console.clients.analysis_socket import ask_analysis
from console.clients.controller import ask_controller
from console.errors import CommandError
from mininet_tests.experiments.forced_alerts import accuse
from mininet_tests.lab.controller import ROOT, Controller, ControllerOptions
from mininet_tests.lab.lab import Lab
from policies.rules.layout import Category, category_of
from response.audit.log import Audit
from response.decision import InstalledRule
from response.decisions.hold import set_hold
from response.ipc.messages import Ask
from response.state.store import Store, StoreError

HOSTS = 5
POLICY = (
    """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: kills}
hosts:
"""
    + "".join(
        f'  h{n}: {{mac: "02:00:00:00:00:0{n}", ip: [10.0.0.{n}], switch: {1 + n % 2}, port: {n}, '
        f"labels: {{side: {'asked' if n == HOSTS else 'auto'}}}}}\n"
        for n in range(1, HOSTS + 1)
    )
    + """
segments:
  auto: {members: [{labels: {side: auto}}], mode: enforce, adapt: auto}
  asked: {members: [{labels: {side: asked}}], mode: enforce, adapt: propose}
intents:
  - {name: all-talk, from: [auto, asked], to: [auto, asked], services: [tcp/7000]}
defaults: {action: deny, mode: enforce}
adaptive:
  actions: [alert, rate_limit, isolate, quarantine]
  max_hosts: 5
  max_share: 1.0
  ttl: 12s
  rate_limit: 100pps
"""
)
AGREE_WITHIN = 25.0  # seconds, of which most is a process that starts
ENDS = {"decision": None, "approved": "active", "released": "released", "expired": "expired",
        "rejected": "rejected"}  # fmt: skip
FLOW = re.compile(r"cookie=0x([0-9a-f]+).*?table=(\d+)")


class AccusedOptions(ControllerOptions):
    """Starts `mininet_tests.experiments.forced_alerts` where ``septum run`` would be."""

    def command(self, ready: Path) -> list[str]:
        # `ryu_apps.launcher.LaunchSettings`, which is not imported: with it comes eventlet.
        settings = {
            "policy_paths": [str(self.policy)],
            "state": str(self.state),
            "port": self.of_port,
            "ready_file": str(ready),
            "expect_switches": self.switches,
        }
        return command("mininet_tests.experiments.forced_alerts", json.dumps(settings))


@dataclass(slots=True)
class KillReport:
    """What was done, and what did not agree (one line each)."""

    kills: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    problems: list[str] = field(default_factory=list)
    decisions: int = 0
    states: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


class KillTrial:
    """Kills ``controller`` (of `AccusedOptions`) or its analysis again and again."""

    def __init__(self, lab: Lab, controller: Controller, seed: int) -> None:
        self.lab, self.controller = lab, controller
        self.state = controller.options.state
        self.rng = Random(seed)
        self.tally = KillReport()
        self.promised: dict[str, str] = {}  # decision → what a person was told was done

    def run(self, kills: int) -> KillReport:
        for _ in range(kills):
            self._live()
            self._kill()
            self._restore()
            self._agree()
            if len(self.tally.problems) > 5:
                break
        store = Store.open(self.state, time.time(), create=False)
        found = store.decisions()
        self.tally.decisions = len(found)
        self.tally.states = Counter(decision.state for decision in found)
        store.close()
        return self.tally

    def _live(self) -> None:
        """Begin some of a decision's life, and do not wait for it."""
        for _ in range(self.rng.randint(1, 3)):
            host = f"10.0.0.{self.rng.randint(1, HOSTS)}"
            accuse(self.state, host, self.rng.choice([0.995, 0.9995]), self.rng.randint(1, 3))
        words = [self.rng.choice(["approve", "reject", "release", "extend"]) for _ in range(2)]
        threading.Thread(target=self._ask, args=(words,), daemon=True).start()
        if self.rng.random() < 0.2:
            self._hold(self.rng.random() < 0.5)
        time.sleep(self.rng.choice([0.0, 0.01, 0.05, 0.2]) * self.rng.random() * 2)

    def _hold(self, on: bool) -> None:
        store = Store.open(self.state, time.time(), create=False)
        with suppress(StoreError):
            set_hold(store, Audit(store), on, "ana", time.time())
        store.close()

    def _ask(self, words: list[str]) -> None:
        with suppress(CommandError, StoreError, sqlite3.Error):
            store = Store.open(self.state, time.time(), create=False)
            for word in words:
                wanted = "active" if word in ("release", "extend") else "proposed"
                found = store.decisions(wanted)  # type: ignore[arg-type]
                if not found:
                    continue
                answer = ask_analysis(self.state, Ask(word, found[0].id, "ana", "", 30))
                if answer.ok and word != "extend":
                    self.promised[found[0].id] = word
                    self.tally.answered += 1
            store.close()

    def _kill(self) -> None:
        what = self.rng.choice(["analysis", "analysis", "controller", "both"])
        self.tally.kills[what] += 1
        if what == "analysis":
            pid = self._analysis_pid()
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        elif what == "both":
            self.controller.kill()
        else:
            # The analysis lives on for a moment, and ends by itself: its last words are lost.
            os.kill(self.controller.pid, signal.SIGKILL)
            until = time.monotonic() + 10
            while self.controller.running and time.monotonic() < until:
                time.sleep(0.005)

    def _analysis_pid(self) -> int | None:
        with suppress(CommandError):
            analysis = ask_controller(self.state, {"do": "status"})["analysis"]
            return None if analysis is None else analysis["pid"]
        return None

    def _restore(self) -> None:
        if not self.controller.running:
            self.controller.start()

    def _agree(self) -> None:
        """Wait until switches, store and audit agree; one line for each disagreement."""
        began = time.monotonic()
        found = ["not looked at"]
        while found and time.monotonic() - began < AGREE_WITHIN:
            time.sleep(0.2)
            found = self.differences()
            if os.environ.get("KILLS_TRACE"):
                print(f"{time.monotonic() - began:.2f}", found[:3], file=sys.stderr)
        self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
        self.tally.problems += found

    def differences(self) -> list[str]:
        """The current disagreements of switches, store and audit."""
        now = time.time()
        store = Store.open(self.state, now, create=False)
        try:
            if not self._ready():
                return ["the controller or its analysis is not ready"]
            with store.reading():
                decisions = store.decisions()
                entries = tuple(Audit(store).entries())
            found = [] if Audit(store).verify().whole else ["the audit is not whole"]
            installed = self._installed()
            wanted = {rule for d in decisions if d.state == "active" for rule in d.rules}
            every = set(self.lab.plan.switches)
            for d in decisions:
                if d.state == "active" and {rule.switch for rule in d.rules} != every:
                    found.append(f"{d.id} is active without all its rules")
                if d.state != "active" and d.rules:
                    found.append(f"{d.id} is {d.state} and has rules")
            if installed != wanted:
                found.append(f"switches have {sorted(map(str, installed ^ wanted))} differently")
            held = [a for d in decisions if d.state == "active" for a in d.addresses]
            found += [] if len(held) == len(set(held)) else ["an address is under two decisions"]
            for d in decisions:
                own = [e for e in entries if e.values().get("decision") == d.id]
                found += _told_otherwise(
                    d.id, d.state, d.rules, [(e.kind, e.values()) for e in own]
                )
                if (said := self.promised.get(d.id)) is not None:
                    kept = {"approve": d.state != "proposed", "reject": d.state == "rejected",
                            "release": d.state == "released"}  # fmt: skip
                    found += [] if kept[said] else [f"{d.id}: {said} was promised, it is {d.state}"]
            return found
        finally:
            store.close()

    def _ready(self) -> bool:
        with suppress(CommandError, KeyError, TypeError):
            status = ask_controller(self.state, {"do": "status"})
            phases = [each["phase"] for each in status["switches"]]
            ready: bool = status["analysis"]["ready"]
            return ready and phases == ["ready"] * len(self.lab.plan.switches)
        return False

    def _installed(self) -> set[InstalledRule]:
        """Rules of decisions, as the switches themselves list them."""
        found = set()
        for dpid in self.lab.plan.switches:
            for cookie, table in FLOW.findall(self.lab.ofctl(dpid, "dump-flows")):
                if category_of(int(cookie, 16)) == Category.DECISION:
                    found.add(InstalledRule(dpid, int(table), int(cookie, 16)))
        return found


def _told_otherwise(
    name: str,
    state: str,
    rules: tuple[InstalledRule, ...],
    own: list[tuple[str, dict[str, object]]],
) -> list[str]:
    """Where the audit's story of a decision does not end as the store has it."""
    found = []
    kinds = [kind for kind, _ in own]
    if kinds.count("decision") != 1:
        found.append(f"{name}: made {kinds.count('decision')} times in the audit")
    for once in ("approved", "released", "expired", "rejected"):
        if kinds.count(once) > 1:
            found.append(f"{name}: {once} {kinds.count(once)} times in the audit")
    last = next((kind for kind in reversed(kinds) if kind in ENDS), "decision")
    first = next((data["state"] for kind, data in own if kind == "decision"), None)
    told = ENDS[last] or first
    if told != state:
        found.append(f"{name}: {told} in the audit, {state} in the store")
    placed: set[tuple[object, ...]] = set()
    for kind, data in own:
        listed = {tuple(each) for each in data.get("rules", [])}  # type: ignore[attr-defined]
        if kind == "confirmed":
            placed |= listed
        elif kind == "removed":
            placed -= listed
    if placed != {(rule.switch, rule.table, rule.cookie) for rule in rules}:
        found.append(f"{name}: other rules in the audit than in the store")
    return found


def forced_alert_controller(policy: Path, state: Path, port: int, switches: int) -> Controller:
    """A controller to accuse hosts at; not started."""
    return Controller(AccusedOptions(policy, state, port, switches), state.parent)


__all__ = ["POLICY", "ROOT", "KillReport", "KillTrial", "forced_alert_controller"]

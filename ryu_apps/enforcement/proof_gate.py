"""No policy is put in force unproven, and what else changes is proven beside.

The prover (`proving`) is asked from two places: by whoever applies a policy, who waits for the
answer in a green thread, and by the watch, which asks about what is in force whenever that has
changed. A proof that fails refuses the one, and alarms in the other; one that is not done in time
says nothing, and the person decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.clock.steady import steady_time
from policies.semantics import retained_intents
from proving.options import PATIENCE
from response.ipc.messages import ProofFound, ProofWanted, SwitchChanged
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.enforcement.rollout import RolloutError

WATCHED = 3_600.0  # seconds that the watch waits, who has nothing else to do
SHOWN = 12  # lines of a counterexample

Ask = Callable[[ProofWanted, float], ProofFound | None]
"""A question and how long to wait, to the answer; None where there is none in time."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What was found about what is in force, for ``status``; times in seconds since the epoch."""

    at: float
    version: int
    switches: tuple[int, ...]
    found: ProofFound

    def told(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "version": self.version,
            "switches": list(self.switches),
            "holds": self.found.holds,
            "seconds": self.found.seconds,
            "problems": problems(self.found),
        }


def problems(found: ProofFound) -> list[str]:
    """Why it does not hold, in lines for people."""
    return [*found.examples[:SHOWN], *(f"not covered: {each}" for each in found.unproven)]


@dataclass(slots=True)
class ProofGate:
    """``ask`` is None where there is no prover: nothing is refused then, and status says so."""

    reconciler: Reconciler
    ask: Ask | None
    proven: Proven | None = None
    asked_at: float | None = None  # since when the watch waits
    failure: str = ""  # why there is no answer
    _number: int = 0
    _facts: tuple[object, ...] | None = None  # that the watch asked about last
    patience: float = PATIENCE

    # -- before a policy is applied -------------------------------------------

    def admit(self, version: int, now: float) -> None:
        """Wait until a version is proven for the network as it is. Raises RolloutError where it is
        not: with a packet that would be treated otherwise, or because the proof takes longer."""
        if self.ask is None:
            return
        try:
            found = self.ask(self._wanted(version, now), self.patience)
        except RuntimeError as problem:
            raise RolloutError(
                f"version {version} cannot be proven: {problem}; {_OTHERWISE}"
            ) from None
        if found is None:
            raise RolloutError(
                f"version {version} is not proven after {self.patience:g} s, which says nothing "
                f"about it: {_OTHERWISE}"
            )
        if not found.holds:
            text = f"version {version} is not put in force: its rules would not do what it says"
            raise RolloutError("\n".join((text, *problems(found))))

    # -- beside what is in force ----------------------------------------------

    def watch(self, now: float, clock: Callable[[], float] = steady_time) -> list[Effect]:
        """Prove what is in force, if it has changed since it was proven last; waits for the
        answer."""
        facts = self._facts_now()
        if self.ask is None or facts is None or facts == self._facts:
            return []
        version = self.reconciler.desired_state.policy_state.version
        wanted = self._wanted(version, now)
        self.asked_at = now
        try:
            found = self.ask(wanted, WATCHED)
        except RuntimeError as problem:
            self.failure = str(problem)
            return [Log(logging.ERROR, f"{problem}; it is asked again")]
        finally:
            self.asked_at = None
        self._facts = facts
        if found is None:
            self.failure = f"no proof after {WATCHED:g} s"
            return []
        self.failure = ""
        switches = tuple(view.switch for view, _ in wanted.switches)
        held = self.proven is None or self.proven.found.holds
        self.proven = Proven(clock(), version, switches, found)
        return _alarm(self.proven) if held and not found.holds else []

    def _facts_now(self) -> tuple[object, ...] | None:
        """What the rules of switches follow from; None where no switch is ready."""
        desired = self.reconciler.desired_state
        state = desired.policy_state
        switches = self._switches()
        if not switches:
            return None
        return state.version, state.retained.retained, desired.bindings, switches

    def _switches(self) -> tuple[Any, ...]:
        ready = sorted(self.reconciler.ready(), key=lambda each: each.switch)
        return tuple((self.reconciler.view(each), each.profile.form) for each in ready)

    def _wanted(self, version: int, now: float) -> ProofWanted:
        self._number += 1
        desired = self.reconciler.desired_state
        return ProofWanted(
            self._number,
            version,
            now,
            self._switches(),
            tuple(desired.network.hosts.discovered.values()),
            retained_intents.written(desired.policy_state.retained),
        )

    def in_force(self, now: float) -> dict[str, Any]:
        """Whether what every ready switch should have now is proven; waits for the answer."""
        answer: dict[str, Any] = {"holds": False, "seconds": 0.0, "problems": []}
        if self.ask is None:
            return {**answer, "problems": ["this controller runs without a prover"]}
        wanted = self._wanted(self.reconciler.desired_state.policy_state.version, now)
        if not wanted.switches:
            return {**answer, "problems": ["no switch is ready"]}
        try:
            found = self.ask(wanted, self.patience)
        except RuntimeError as problem:
            return {**answer, "problems": [str(problem)]}
        if found is None:
            return {**answer, "problems": [f"no proof after {self.patience:g} s"]}
        return {"holds": found.holds, "seconds": found.seconds, "problems": problems(found)}

    def status(self) -> dict[str, Any]:
        return {
            "prover": self.ask is not None,
            "proven": None if self.proven is None else self.proven.told(),
            "asked_at": self.asked_at,
            "failure": self.failure,
        }


_OTHERWISE = "ask again, or put it in force all the same with --unproven --note WHY"


def _alarm(proven: Proven) -> list[Effect]:
    """What is in force does not hold: told loudly, and in the audit, for each switch of it."""
    lines = "; ".join(" ".join(each.split()) for each in problems(proven.found))
    text = f"what is in force (version {proven.version}) does not do what the policy says: {lines}"
    told = [SwitchChanged(proven.at, each, "unproven", lines[:500]) for each in proven.switches[:1]]
    return [Log(logging.ERROR, text), *map(Report, told)]

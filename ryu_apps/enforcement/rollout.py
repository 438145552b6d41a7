"""Policies put in force on the running controller: staged, applied, confirmed, taken back.

What is in force is stored before anything is sent to a switch. A policy on probation is reverted
unless it is confirmed in time, whichever process died in between: the deadline is on disk, and is
checked by the clock and at every start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from policies.compiler import CompileError
from policies.language.errors import PolicyError, render
from policies.model import Policy
from response.asker import Asker
from response.ipc.messages import PolicyEvents
from response.state.policy_versions import Pending, PolicyVersion, Standing, VersionError, Versions
from ryu_apps.effects import Effect, Log, Report
from ryu_apps.enforcement.policy_state import check_fits

MAX_WITHIN = 7 * 86_400.0  # seconds
TRY_AGAIN = 30.0  # seconds after a way back that failed
CONTROLLER = Asker("septum")
"""Who does what the controller does by itself."""

Answer = dict[str, Any]
CarryOut = Callable[[list[Effect]], None]
ApplyPolicy = Callable[[Policy, tuple[str, ...], float, int], list[Effect]]
"""Policy, files, time and version to the effects that put it in force. Raises CompileError."""


class RolloutError(Exception):
    """The request is refused and nothing was changed; the text is one line for users."""


class Rollout:
    def __init__(self, apply: ApplyPolicy, versions: Versions, carry_out: CarryOut) -> None:
        self._apply = apply
        self._versions = versions
        self._carry_out = carry_out
        self._standing = versions.standing()
        self._try_at = 0.0
        self._ahead: tuple[PolicyVersion, Policy] | None = None

    # -- what people ask -------------------------------------------------------

    def stage(self, number: int, by: Asker, now: float) -> Answer:
        """Check that a kept version could be put in force, and have it ready."""
        version, policy = self._ready(number)
        check_fits(policy, now)
        staged = replace(self._standing, staged=number)
        self._stand(staged.told(now, "staged", number, by, version.reach))
        return {"ok": True, "version": number, "policy": policy.name}

    def apply(
        self, number: int | None, by: Asker, within: float | None, now: float, note: str = ""
    ) -> Answer:
        """Put a stored version (None: the staged one) in force; with ``within``, for that many
        seconds unless confirmed. ``note`` is for the audit."""
        if self._standing.pending is not None:
            waiting = self._standing.pending.version
            raise RolloutError(f"version {waiting} waits to be confirmed or rolled back first")
        number = self.staged() if number is None else number
        if within is not None and not 0 < within <= MAX_WITHIN:
            raise RolloutError(f"--confirm-within is up to {MAX_WITHIN / 86_400:g} days")
        before = self._standing.in_force
        after = self._standing.applied(number)
        if within is not None and before is not None:
            after = replace(after, pending=Pending(number, before, now + within, by.name))
        notes = [note] if note else []
        if within is not None:
            notes.append(f"to be confirmed within {within:g} s")
        policy = self._exchange(number, after, "applied", by, now, "; ".join(notes))
        deadline = None if after.pending is None else after.pending.deadline
        return {"ok": True, "version": number, "policy": policy.name, "deadline": deadline}

    def confirm(self, by: Asker, now: float) -> Answer:
        """Confirm the applied version; idempotent."""
        pending = self._standing.pending
        number = self._standing.in_force
        assert number is not None
        if pending is not None:
            kept = replace(self._standing, pending=None)
            self._stand(kept.told(now, "confirmed", pending.version, by))
        return {"ok": True, "version": number, "was_pending": pending is not None}

    def staged(self) -> int:
        """The version that is staged. Raises RolloutError."""
        if self._standing.staged is None:
            raise RolloutError("nothing is staged; name a policy, or stage one first")
        return self._standing.staged

    def before(self) -> int:
        """The version before the one in force. Raises RolloutError."""
        if self._standing.previous is None:
            raise RolloutError("there is no version before the one in force")
        return self._standing.previous

    def roll_back(self, to: int | None, by: Asker, now: float, note: str = "") -> Answer:
        """Back to the version before the present one, or to the one that is named."""
        standing = self._standing
        if to is not None:
            after = replace(standing.applied(to), pending=None)
        else:
            self.before()
            after = standing.reverted()
        number = after.in_force
        assert number is not None
        policy = self._exchange(number, after, "rolled back", by, now, note)
        return {"ok": True, "version": number, "policy": policy.name}

    def standing(self) -> Answer:
        held = self._standing
        pending = None if held.pending is None else asdict(held.pending)
        return {"in_force": held.in_force, "previous": held.previous, "staged": held.staged,
                "pending": pending}  # fmt: skip

    # -- what happens by itself ------------------------------------------------

    def events(self) -> PolicyEvents:
        """Events for the audit; repeated at every start of the analysis."""
        return PolicyEvents(self._standing.events)

    def tick(self, now: float) -> None:
        """Revert an unconfirmed version."""
        pending = self._standing.pending
        if pending is None or now < max(pending.deadline, self._try_at):
            return
        text = f"nobody confirmed version {pending.version} in time"
        try:
            self._exchange(
                pending.revert_to, self._standing.reverted(), "reverted", CONTROLLER, now, text
            )
        except (RolloutError, CompileError, VersionError, PolicyError, OSError) as problem:
            self._try_at = now + TRY_AGAIN
            line = f"{text}, but version {pending.revert_to} cannot be put back: {problem}"
            self._carry_out([Log(logging.ERROR, " ".join(line.split()))])
            return
        back = f"{text}: version {pending.revert_to} is in force again"
        self._carry_out([Log(logging.WARNING, back)])

    # -- the one way to change what is in force --------------------------------

    def _exchange(
        self, number: int, after: Standing, what: str, by: Asker, now: float, note: str = ""
    ) -> Policy:
        """Read, compile for every switch, store, then send; all or nothing."""
        version, policy = self._ready(number)
        notes = "; ".join(part for part in (note, version.reach) if part)
        before, now_holds = self._standing, after.told(now, what, number, by, notes)
        self._versions.stand(now_holds)
        try:
            effects = self._apply(policy, version.paths, now, number)
        except CompileError:
            self._versions.stand(before)
            raise
        self._standing = now_holds
        self._carry_out([*effects, Report(self.events())])
        return policy

    def read_ahead(self, number: int) -> None:
        """Read a version that is to be put in force, which takes a second for a large one; may run
        in a thread of its own. Raises VersionError or PolicyError."""
        version = self._versions.version(number)
        self._ahead = version, version.policy()

    def _ready(self, number: int) -> tuple[PolicyVersion, Policy]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0].number == number:
            return ahead
        version = self._versions.version(number)
        return version, version.policy()

    def _stand(self, standing: Standing) -> None:
        self._versions.stand(standing)
        self._standing = standing
        self._carry_out([Report(self.events())])


def answered(action: Callable[[], Answer]) -> Answer:
    """An answer for a person, whatever comes of it."""
    try:
        return action()
    except PolicyError as problem:
        return {"ok": False, "errors": [render(d, problem.texts) for d in problem.diagnostics]}
    except (RolloutError, CompileError, VersionError) as problem:
        return {"ok": False, "errors": [str(problem)]}
    except OSError as problem:
        return {"ok": False, "errors": [f"it cannot be written down: {problem.strerror}"]}

"""Admission of a switch that connects: its capabilities, its owner, and the rules that follow."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.compiler import CompileError
from policies.compiler.switches_file import Switches
from policies.compiler.targets import Overflow, SwitchTarget
from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Report, Send
from ryu_apps.openflow.messages import set_fragments
from ryu_apps.switch.capabilities import SwitchCapabilities
from ryu_apps.switch.roles import SLAVE, owner_of, role_status
from ryu_apps.switch.session import Phase, Session
from ryu_apps.switch.switch_profile import profile_of, weaker
from ryu_apps.switch.table_reader import TableReading

MOST_OTHERS = 4_096  # switches of others that are remembered


@dataclass(slots=True)
class Admission:
    """``settings`` are those of the switches file; ``owner`` is our own number, and with
    ``takeover`` a switch that is another's is taken from it, once."""

    owner: int = 1
    settings: Switches = field(default_factory=Switches)
    takeover: bool = False
    released: dict[int, str] = field(default_factory=dict)  # who released each of these switches
    _taken: set[int] = field(default_factory=set)
    _others: dict[int, str] = field(default_factory=dict)

    def welcome(self, session: Session, now: float) -> list[Effect]:
        """The first requests, none to a switch that was released."""
        if (by := self.released.get(session.switch)) is not None:
            session.stand_by(f"released by {by}; `septum switches take` takes it again")
            return [Log(logging.INFO, f"switch {session.switch} is {session.problem}")]
        return [Send(session.switch, session.role.ask()), *session.ask(now)]

    def probed(
        self, session: Session, capabilities: SwitchCapabilities, now: float
    ) -> list[Effect]:
        """The switch's capabilities are known: it gets the rules of its profile."""
        profile = profile_of(capabilities, self.settings.of(session.switch))
        session.use_profile(profile)
        what = f"{profile.target} rules ({profile.description or 'no description'})"
        effects: list[Effect] = [Log(logging.INFO, f"switch {session.switch} gets {what}")]
        return [*effects, *limits(session, now), *fragments(session), *session.read(now)]

    def weaken(self, session: Session, missing: str, now: float) -> list[Effect]:
        """A switch that was shown to lack what its rules need gets those of a less capable
        profile; ``missing`` is what it refused in a trial."""
        profile = weaker(session.profile, missing)
        if profile is None or session.confirmed:
            return []
        before = session.profile.target
        session.use_profile(profile)
        session.retry_at = 0.0
        lacks = f"switch {session.switch} cannot have {before} rules: it refused {missing}"
        text = f"{lacks}; falling back to {profile.target} rules"
        effects: list[Effect] = [Log(logging.WARNING, text)]
        return [*effects, *limits(session, now), *fragments(session), *session.read(now)]

    def admit(
        self, session: Session, reading: TableReading, now: float
    ) -> tuple[bool, list[Effect]]:
        """The switch has listed its rules: whether we write it, and what to report of that."""
        switch, found = session.switch, owner_of(reading.found.values())
        if found == self.owner:
            self._others.pop(switch, None)
            return True, []
        if found is None and switch not in self._others:
            return True, []
        whose = self._others.get(switch, "") if found is None else f"controller {found:012x}"
        if not self.takeover or switch in self._taken:
            return False, self.stand_by(session, whose, now)
        self._taken = {*sorted(self._taken)[-MOST_OTHERS:], switch}
        self._others.pop(switch, None)
        return True, [
            Log(logging.WARNING, f"switch {switch} is taken over from {whose}"),
            Report(SwitchChanged(now, switch, "taken", f"taken over from {whose}")),
        ]

    def stand_by(self, session: Session, whose: str, now: float) -> list[Effect]:
        """Another controller writes this switch: stay out until it connects again."""
        if session.phase is Phase.STANDBY:
            return []
        self._others[session.switch] = whose
        if len(self._others) > MOST_OTHERS:
            del self._others[next(iter(self._others))]
        session.stand_by(f"belongs to {whose}")
        text = f"belongs to {whose}: staying out; --takeover takes it over"
        return [
            Send(session.switch, session.role.yield_()),
            Log(logging.ERROR, f"switch {session.switch} {text}"),
            Report(SwitchChanged(now, session.switch, "standby", text)),
        ]

    def demoted(self, session: Session, buf: bytes, now: float) -> list[Effect]:
        """An experimenter message: it may be a role status that makes another controller master."""
        if role_status(buf) != SLAVE or session.role.wanted == SLAVE:
            return []
        return self.stand_by(session, "a controller that made itself master", now)


def limits(session: Session, now: float) -> list[Effect]:
    """Report what a switch cannot do."""
    if not session.profile.limits:
        return []
    text = "; ".join(session.profile.limits)
    return [
        Log(logging.WARNING, f"switch {session.switch} has {session.profile.target} rules: {text}"),
        Report(SwitchChanged(now, session.switch, "limited", text)),
    ]


def too_small(session: Session, overflows: tuple[Overflow, ...], now: float) -> list[Effect]:
    """The rules do not fit: nothing is sent, and the switch keeps what it has."""
    text = "; ".join(str(each) for each in overflows)
    if session.problem == text:
        return []
    session.problem = text
    return [
        Log(logging.ERROR, f"switch {session.switch}: {text}; it keeps the rules that it has"),
        Report(SwitchChanged(now, session.switch, "failed", text)),
    ]


def cannot_be_made(session: Session, error: CompileError, now: float) -> list[Effect]:
    """The rules of this switch cannot be compiled: it keeps what it has."""
    text = f"its rules cannot be made: {error}"
    if session.problem == text:
        return []
    session.problem = text
    return [
        Log(logging.ERROR, f"switch {session.switch}: {text}; it keeps the rules that it has"),
        Report(SwitchChanged(now, session.switch, "failed", text)),
    ]


def odd_ports(session: Session, texts: Iterable[str], now: float) -> list[Effect]:
    """Report ports that were not taken as the switch reported them."""
    return [
        effect
        for text in texts
        for effect in (
            Log(logging.WARNING, f"switch {session.switch} {text}"),
            Report(SwitchChanged(now, session.switch, "ports", text)),
        )
    ]


def fragments(session: Session) -> list[Effect]:
    """Set how a switch treats IP fragments: where it does not reassemble them, later ones cannot be
    judged and are dropped. No rule shows the setting, so it is repeated every few seconds in case
    another program has changed it."""
    drop = session.profile.target is not SwitchTarget.STATEFUL
    return [Send(session.switch, set_fragments(drop=drop))]

"""Handing a switch back: everything of ours is removed from it, and it is not driven any more.

A released switch stays released, also when it or the controller restarts, until somebody takes it
again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.rules.layout import STATELESS_METER, is_connection_meter, is_limit_meter
from policies.rules.rule import Output, Rule
from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Report, Save, Send
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import delete_ours, flow_mod, wire_rule
from ryu_apps.switch.admission import Admission
from ryu_apps.switch.session import Phase, Session
from ryu_apps.switch.transactions import Transactions

STORED_AS = "released_switches"
NORMAL = Rule(0, 0, (), (Output(0xFFFF_FFFA),), 0)  # OFPP_NORMAL: forward as a plain switch does
PATIENCE = 10.0  # seconds


class ReleaseError(ValueError):
    """A switch that cannot be released or taken, in one line."""


@dataclass(slots=True)
class Removal:
    """The removal of our rules from one switch: ``outcome`` is empty until the switch answers, and
    ``gone`` are the effects that follow when it has done it."""

    transactions: Transactions
    detail: str
    gone: tuple[Effect, ...] = ()
    outcome: str = ""
    refused: bool = False


@dataclass(slots=True)
class SwitchReleases:
    """Releases and takes switches. ``pending`` are removals by switch, until the next one."""

    reconciler: Reconciler
    admission: Admission
    pending: dict[int, Removal] = field(default_factory=dict)

    def release(self, switch: int, by: str, now: float, *, normal: bool) -> list[Effect]:
        """Remove our rules, meters and marks, and stand by. Raises ReleaseError."""
        session = self.reconciler.sessions.get(switch)
        if switch in self.admission.released:
            raise ReleaseError(f"switch {switch} is released already")
        if session is None:
            raise ReleaseError(f"switch {switch} is not connected: connect it, then release it")
        if session.phase is not Phase.READY:
            why = session.problem or "it has not got its rules yet"
            raise ReleaseError(f"switch {switch} cannot be released now: {why}")
        left = "one rule forwards as a plain switch does" if normal else "it forwards nothing"
        rules = session.installed.values()
        gone = self.reconciler.ended.gone(switch, rules, {}, now)
        removal = Removal(session.transactions, f"by {by}; {left}", tuple(gone))
        self.pending[switch] = removal
        self.admission.released[switch] = by
        data = self._removal(session, removal, now, normal=normal)
        session.installed, session.meters = {}, {}
        session.stand_by(f"released by {by}; `septum switches take` takes it again")
        self.reconciler.desired_state.network.switch_disconnected(switch)
        return [
            Send(switch, data),
            Log(logging.WARNING, f"switch {switch} is handed back, {removal.detail}"),
            self._saved(),
            *self.reconciler.reroute(now),
        ]

    def _removal(self, session: Session, removal: Removal, now: float, *, normal: bool) -> bytes:
        """Rules first, since none may use a meter that goes; the last rule in the same bundle."""
        bodies = [*delete_ours(), *([flow_mod(wire_rule(NORMAL))] if normal else ())]
        xid = session.transactions.begin(removal)
        if session.profile.bundles:
            data = messages.bundle(xid, xid & 0x00FF_FFFF, bodies)
        else:
            data = b"".join(messages.message(messages.FLOW_MOD, xid, body) for body in bodies)
        ours = {meter.number for meter in self.reconciler.meters(session, now)} | {STATELESS_METER}
        meters = (
            n for n in session.meters if n in ours or is_limit_meter(n) or is_connection_meter(n)
        )
        return b"".join(
            (
                data,
                messages.barrier(),
                *map(messages.meter_delete, meters),
                messages.default_fragments(),
                session.role.share(),
                messages.barrier(xid),
            )
        )

    def take(self, switch: int, by: str, now: float) -> list[Effect]:
        """Drive a released switch again. Raises ReleaseError."""
        if self.admission.released.pop(switch, None) is None:
            raise ReleaseError(f"switch {switch} is not released")
        self.pending.pop(switch, None)
        session = self.reconciler.sessions.get(switch)
        return [
            self._saved(),
            Log(logging.WARNING, f"switch {switch} is taken again, by {by}"),
            Report(SwitchChanged(now, switch, "taken", f"after its release, by {by}")),
            *([] if session is None else self._welcome(session, now)),
        ]

    def answered(self, switch: int, removal: Removal, now: float) -> list[Effect]:
        """The switch has done it, or refused."""
        removal.transactions.withdraw(removal)
        if removal.refused:
            removal.outcome = (
                "it refused to remove the rules; they stay, and it is driven as before"
            )
            by = self.admission.released.pop(switch, "")
            session = self.reconciler.sessions[switch]
            again = self._welcome(session, now)
            failed = Report(SwitchChanged(now, switch, "failed", f"release by {by}: it refused"))
            return [failed, self._saved(), *again]
        removal.outcome = f"released {removal.detail}; rules, meters and marks are removed"
        return [
            Log(logging.WARNING, f"switch {switch}: {removal.outcome}"),
            Report(SwitchChanged(now, switch, "released", removal.outcome)),
            *removal.gone,
        ]

    def _welcome(self, session: Session, now: float) -> list[Effect]:
        """Ask again what the switch can do, as one that may write: to others it would refuse."""
        share = Send(session.switch, session.role.share())
        return [share, *self.admission.welcome(session, now)]

    def _saved(self) -> Save:
        return Save(released=dict(self.admission.released))


def written(released: Mapping[int, str]) -> str:
    """Released switches, and by whom, as the store keeps them."""
    return json.dumps({str(switch): by for switch, by in sorted(released.items())})


def read(text: str | None) -> dict[int, str]:
    """What `written` gave. Raises ValueError."""
    found = json.loads(text or "{}")
    if not isinstance(found, dict):
        raise ValueError("not a table of switches")
    return {int(switch): str(by) for switch, by in found.items()}

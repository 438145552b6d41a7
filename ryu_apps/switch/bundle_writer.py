"""Pending changes of one switch: atomic where it takes bundles, in a safe order where not.

With bundles a change is one bundle and a barrier: all of it or nothing, but for single
rules that cannot be, which Open vSwitch refuses while it commits the others: that is undone
by a second bundle. Without,
what is new is written first, then a barrier; what is old goes only after the
switch has confirmed the new, and where it refused some of it the rest is taken
back, so that the switch stays as it was. Such changes go one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from policies.rules.layout import Category, cookie
from ryu_apps.effects import Effect, Send
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import ADD, DELETE_STRICT, WireRule, flow_mod
from ryu_apps.switch.reconcile import RuleDifference
from ryu_apps.switch.refused_rules import MOST, refused_part
from ryu_apps.switch.switch_profile import SwitchProfile
from ryu_apps.switch.transactions import Transactions

FLOW_MOD_FAILED, TABLE_FULL = 5, 1
BAD_REQUEST, IS_SLAVE = 1, 10
_IN_FLOW_MOD, _IN_BUNDLE = 12 + 8 + 16, 12 + 8 + 16 + 8 + 16  # where an error shows the table

SHUT = WireRule((0, 0xFFFF, ()), cookie(Category.BASE), b"", False)  # drops everything

Confirmed = Callable[[float], list[Effect]]
Step = tuple[tuple[WireRule, ...], tuple[WireRule, ...]]  # rules to write, rules to take away


@dataclass(frozen=True, slots=True)
class SwitchRefusal:
    """The switch's error: type and code of OpenFlow, and the table where that is known."""

    kind: int
    code: int
    table: int | None = None

    @classmethod
    def of(cls, buf: bytes) -> SwitchRefusal:
        kind, code = error_code(buf)
        inner = buf[13] if len(buf) > 13 else None
        at = {messages.FLOW_MOD: _IN_FLOW_MOD, messages.EXPERIMENTER: _IN_BUNDLE}.get(inner or 0)
        table = buf[at] if at is not None and len(buf) > at else None
        return cls(kind, code, table if kind == FLOW_MOD_FAILED else None)

    @property
    def full(self) -> bool:
        return (self.kind, self.code) == (FLOW_MOD_FAILED, TABLE_FULL)

    @property
    def slave(self) -> bool:
        """Another controller is the switch's master now."""
        return (self.kind, self.code) == (BAD_REQUEST, IS_SLAVE)

    def reason(self, profile: SwitchProfile) -> str:
        """Why the switch refused, for people."""
        if self.full and self.table is not None:
            return f"its table {profile.table_name(self.table)} is full ({self})"
        return str(self)

    def __str__(self) -> str:
        return f"error {self.kind}/{self.code}"


@dataclass(slots=True)
class PendingChange:
    """``before`` are the rules that altered ones replace. A ``tight`` change finds no
    room for new rules beside the old ones: everything is dropped while it is made."""

    what: str
    difference: RuleDifference
    before: tuple[WireRule, ...] = ()
    confirmed: Confirmed | None = None
    tight: bool = False
    refusal: SwitchRefusal | None = None  # the first
    refused: list[bytes] = field(default_factory=list)  # parts of rules, by `refused_part`
    steps: deque[Step] = field(default_factory=deque)

    def plan(self) -> None:
        """Work out the steps of a change that is not atomic."""
        new = (*self.difference.missing, *self.difference.altered)
        old = self.difference.excess
        if self.tight:
            self.steps.extend([((SHUT,), ()), ((), old), (new, ()), ((), (SHUT,))])
        elif new and old:
            self.steps.extend([(new, ()), ((), old)])
        else:
            self.steps.append((new, old))

    def bodies_back(self, whole: bool) -> list[bytes]:
        """Flow-mods that leave the switch as it was before, however far the change went; ``whole``:
        what was to go may be gone."""
        again = (*self.before, *(self.difference.excess if self.tight or whole else ()))
        return [
            *(flow_mod(rule, DELETE_STRICT) for rule in self.difference.missing),
            *(flow_mod(rule, ADD) for rule in again),
            *((flow_mod(SHUT, DELETE_STRICT),) if self.tight else ()),
        ]


@dataclass(slots=True)
class WriteCounters:
    """Since the switch connected; shown by ``septum switches``."""

    flow_mods: int = 0
    bundles: int = 0
    failures: int = 0
    checks: int = 0
    drifts: int = 0
    unread: int = 0


@dataclass(slots=True)
class BundleWriter:
    switch: int
    transactions: Transactions
    atomic: bool = True
    counters: WriteCounters = field(default_factory=WriteCounters)
    _sent: dict[int, PendingChange] = field(default_factory=dict)
    _waiting: deque[PendingChange] = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        return not self._sent and not self._waiting

    @property
    def pending(self) -> int:
        """Changes that the switch has not confirmed."""
        return len(self._sent) + len(self._waiting)

    def forget(self) -> None:
        """Drop all pending changes: the switch will be read anew."""
        self.transactions.withdraw(self)
        self._sent.clear()
        self._waiting.clear()

    def send(self, change: PendingChange) -> list[Effect]:
        if not self.atomic and self._sent:
            self._waiting.append(change)
            return []
        return self._start(change)

    def _start(self, change: PendingChange) -> list[Effect]:
        difference = change.difference
        self.counters.flow_mods += difference.changes
        if self.atomic and difference.changes:
            self.counters.bundles += 1
            xid = self._pending_xid(change)
            data = messages.bundle(xid, xid & 0x00FF_FFFF, difference.flow_mods())
            return [Send(self.switch, data + messages.barrier(xid))]
        change.plan()
        return self._step(change)

    def _step(self, change: PendingChange) -> list[Effect]:
        added, removed = change.steps.popleft()
        bodies = [flow_mod(rule, ADD) for rule in added]
        bodies += [flow_mod(rule, DELETE_STRICT) for rule in removed]
        return self._write(self._pending_xid(change), bodies)

    def _write(self, xid: int, bodies: Iterable[bytes]) -> list[Effect]:
        """Single flow-mods and a barrier, all under one transaction id."""
        data = [messages.message(messages.FLOW_MOD, xid, body) for body in bodies]
        return [Send(self.switch, b"".join(data) + messages.barrier(xid))]

    def _pending_xid(self, change: PendingChange) -> int:
        xid = self.transactions.begin(self)
        self._sent[xid] = change
        return xid

    def refuse(self, xid: int, buf: bytes) -> PendingChange | None:
        """An error: the change that it ends at once, if it ends one. Usually a change ends at its
        barrier, when all that is refused of it is known."""
        change = self._sent.get(xid)
        if change is None:
            return None
        if change.refusal is None:
            change.refusal = SwitchRefusal.of(buf)
        if (part := refused_part(buf)) and len(change.refused) < MOST:
            change.refused.append(part)
        if not change.refusal.slave:
            return None
        self.forget()
        return change

    def barrier(self, xid: int, now: float) -> tuple[list[Effect], PendingChange | None]:
        """The switch has done all that came before: what follows, and the change that failed."""
        change = self._sent.pop(xid, None)
        if change is None:
            return [], None
        self.transactions.end(xid)
        if change.refusal is not None:
            self.forget()
            return self._take_back(xid, change), change
        if change.steps:
            return self._step(change), None
        effects = change.confirmed(now) if change.confirmed is not None else []
        if self._waiting and not self._sent:
            effects = [*effects, *self._start(self._waiting.popleft())]
        return effects, None

    def _take_back(self, xid: int, change: PendingChange) -> list[Effect]:
        """Undo a change that was refused, as far as the switch made it. Of a bundle it has made
        nothing, unless it refused to add single rules."""
        if not self.atomic:
            return self._write(messages.NO_REPLY, change.bodies_back(whole=False))
        if not change.refused:
            return []
        back = change.bodies_back(whole=True)
        data = messages.bundle(messages.NO_REPLY, xid & 0x00FF_FFFF, back)
        return [Send(self.switch, data + messages.barrier())]


def error_code(buf: bytes) -> tuple[int, int]:
    """Type and code of an OpenFlow error message."""
    if len(buf) < 12:
        return 0, 0
    return int.from_bytes(buf[8:10], "big"), int.from_bytes(buf[10:12], "big")

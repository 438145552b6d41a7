"""One connected switch: reading what it has, changing it in atomic bundles, confirming.

A session goes *reading* (rules and meters are asked for) → *settling* (link
discovery may answer) → *ready*. It never clears a table: it sends the
difference, and nothing where there is none. When ready it reads again every few
seconds, to find what others changed on the switch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from policies.compiler import Change, SwitchView
from policies.rules import Meter, Rule
from response.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Send, Tell
from ryu_apps.losses import Losses
from ryu_apps.reading import Reading
from ryu_apps.reconcile import Difference, compare
from ryu_apps.wire import messages
from ryu_apps.wire.decode import FlowRemoved
from ryu_apps.wire.encode import WireKey, WireRule, wire_key, wire_rule

SETTLE = 0.25  # seconds that link discovery gets before the first comparison
RETRY_AFTER = 2.0
ENDED_BY_ITSELF = (0, 1)  # idle and hard timeout
CHECK_EVERY = 4.0  # seconds from one comparison to the next
FIRST_XID = 0x5300_0000  # apart from the library's own, which count from a random start

_xids = count(FIRST_XID)
Confirmed = Callable[[float], list[Effect]]


class Phase(Enum):
    READING = "reading"
    SETTLING = "settling"
    READY = "ready"


@dataclass(slots=True)
class Pending:
    """A bundle on its way: what it changes, and what to do when the switch confirms it."""

    what: str
    sent: float
    confirmed: Confirmed | None


@dataclass(slots=True)
class Counters:
    """Since the switch connected; shown by ``septum switches``."""

    flow_mods: int = 0
    bundles: int = 0
    failures: int = 0
    checks: int = 0
    drifts: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What the last comparison of a ready switch with what it should have came to.

    ``failure`` says why it could not be made, and then the rest says nothing.
    """

    at: float
    difference: Difference
    meters: tuple[int, ...] = ()
    failure: str = ""

    @property
    def right(self) -> bool:
        return not (self.failure or self.difference.changes or self.meters)

    def summary(self) -> str:
        if self.failure:
            return self.failure
        changed = f", {len(self.meters)} meters changed" if self.meters else ""
        return self.difference.summary() + changed


@dataclass(slots=True)
class Session:
    switch: int
    ports: dict[int, bytes]  # number → MAC
    view: SwitchView | None = None  # that its rules were last made for
    phase: Phase = Phase.READING
    installed: dict[WireKey, WireRule] = field(default_factory=dict)
    meters: dict[int, tuple[int, int]] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    losses: Losses = field(default_factory=Losses)
    settled_at: float = 0.0
    retry_at: float = 0.0
    last_difference: str = ""
    check_at: float = 0.0
    checked: Checked | None = None
    drifted: Checked | None = None  # the last comparison that found something
    reading: Reading | None = None
    _known: Mapping[bytes, WireRule] = field(default_factory=dict)
    _pending: dict[int, Pending] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Nothing is on its way: the switch is known to have what `installed` says."""
        return not self._pending

    def read(self, now: float) -> list[Effect]:
        """Ask for everything the switch has; `multipart` takes the answers."""
        self.phase = Phase.READING
        self._pending = {}
        return self.check(now)

    def check(self, now: float, *, thorough: bool = False) -> list[Effect]:
        """Ask the same while everything goes on."""
        self.reading = Reading(now, self._known, thorough)
        return [Send(self.switch, self.reading.ask())]

    def multipart(self, xid: int, buf: bytes) -> Reading | None:
        """Take one answer; the reading that it completes, if it does.

        Raises Malformed for bytes that are no such answer.
        """
        reading = self.reading
        if reading is None or not reading.asked(xid):
            self.losses.take(xid, buf)
            return None
        reading.take(xid, buf)
        if not reading.complete:
            return None
        self.reading = None
        self._known = reading.seen
        return reading

    def settle(self, reading: Reading, now: float) -> None:
        """Take the first reading for what the switch has."""
        self.installed, self.meters = reading.found, reading.meters
        self.phase = Phase.SETTLING
        self.settled_at = now + SETTLE

    def read_failed(self, now: float) -> bool:
        """A first reading that was never answered; it does not mean that rules are missing."""
        late = self.reading is not None and self.reading.late(now)
        return (self.phase is Phase.READING and late) or (
            self.retry_at > 0 and now >= self.retry_at
        )

    def set_meters(self, meters: Iterable[Meter]) -> list[Effect]:
        """Meters cannot ride in a bundle, so they go first."""
        data = b""
        for meter in meters:
            known = self.meters.get(meter.number)
            if known == (meter.rate, meter.burst):
                continue
            command = messages.METER_ADD if known is None else messages.METER_MODIFY
            data += messages.meter_mod(next(_xids), meter, command)
            self.meters[meter.number] = (meter.rate, meter.burst)
            if self.reading is not None:
                self.reading.touched_meters.add(meter.number)
        return [Send(self.switch, data + messages.barrier(next(_xids)))] if data else []

    def difference(self, desired: Iterable[Rule]) -> Difference:
        """Between what the switch has and ``desired``."""
        return compare((wire_rule(rule) for rule in desired), self.installed)

    def reconcile(
        self, difference: Difference, now: float, confirmed: Confirmed | None = None
    ) -> list[Effect]:
        """Send a `difference`, in one bundle."""
        self.last_difference = difference.summary()
        return self._apply(difference, "policy", now, confirmed)

    def change(
        self, change: Change, now: float, confirmed: Confirmed | None = None
    ) -> list[Effect]:
        """Send a change of what a comparison settled before, in one bundle."""
        added = []
        for rule in map(wire_rule, change.added):
            there = self.installed.get(rule.key)
            if there is None or not rule.same_effect(there):
                added.append(rule)
        gone = (self.installed.get(wire_key(rule)) for rule in change.removed)
        removed = tuple(rule for rule in gone if rule is not None)
        return self._apply(Difference(tuple(added), (), removed, 0), "policy", now, confirmed)

    def ensure(self, rules: Iterable[Rule], what: str, now: float) -> list[Effect]:
        """Put single rules on the switch where they are not there yet, and take none away."""
        missing = compare((wire_rule(rule) for rule in rules), self.installed)
        only = Difference(missing.missing, missing.altered, (), missing.proper)
        return self._apply(only, what, now, None)

    def add(
        self, rules: Sequence[WireRule], what: str, now: float, confirmed: Confirmed
    ) -> list[Effect]:
        return self._apply(Difference(tuple(rules), (), (), 0), what, now, confirmed)

    def keep(
        self, rules: Sequence[WireRule], what: str, now: float, confirmed: Confirmed
    ) -> list[Effect]:
        """Like `add`, but what is there already is left alone, with its timer and counters."""
        lacking = compare(rules, self.installed)
        only = Difference(lacking.missing, lacking.altered, (), lacking.proper)
        return self._apply(only, what, now, confirmed)

    def remove(
        self, rules: Sequence[WireRule], what: str, now: float, confirmed: Confirmed
    ) -> list[Effect]:
        """Take away those that are there, and none that has since taken the place of one."""
        there = ((rule, self.installed.get(rule.key)) for rule in rules)
        present = tuple(
            rule for rule, found in there if found is not None and found.cookie == rule.cookie
        )
        return self._apply(Difference((), (), present, 0), what, now, confirmed)

    def _apply(
        self, difference: Difference, what: str, now: float, confirmed: Confirmed | None
    ) -> list[Effect]:
        if not difference.changes and (confirmed is None or self.idle):
            return confirmed(now) if confirmed is not None else []
        for rule in (*difference.missing, *difference.altered):
            self.installed[rule.key] = rule
        for rule in difference.excess:
            self.installed.pop(rule.key, None)
        if self.reading is not None:
            changed = (*difference.missing, *difference.altered, *difference.excess)
            self.reading.touched.update(rule.key for rule in changed)
        xid = next(_xids)
        self._pending[xid] = Pending(what, now, confirmed)
        if not difference.changes:  # what is asked for is on its way: confirmed when that is
            return [Send(self.switch, messages.barrier(xid))]
        self.counters.flow_mods += difference.changes
        self.counters.bundles += 1
        bundle = messages.bundle(xid, xid & 0x00FF_FFFF, difference.flow_mods())
        return [Send(self.switch, bundle + messages.barrier(xid))]

    def barrier(self, xid: int, now: float) -> list[Effect]:
        """The switch has done all that came before; a bundle it refused is not pending any more."""
        pending = self._pending.pop(xid, None)
        if pending is None or pending.confirmed is None:
            return []
        return pending.confirmed(now)

    def error(self, xid: int, buf: bytes, now: float) -> list[Effect]:
        """A refused bundle changed nothing, so what the switch has is read again."""
        pending = self._pending.pop(xid, None)
        if pending is None:
            return []
        kind, code = error_code(buf)
        self.counters.failures += 1
        self.retry_at = now + RETRY_AFTER
        text = f"switch {self.switch} refused the change for {pending.what}: error {kind}/{code}"
        return [
            Log(logging.ERROR, text),
            Tell(SwitchChanged(now, self.switch, "failed", text)),
        ]

    def flow_removed(self, removed: FlowRemoved) -> None:
        """A rule ended by its own timeout is no longer installed; one that somebody took away is
        found missing when the switch is read again."""
        if removed.reason not in ENDED_BY_ITSELF:
            return
        key = (removed.table, removed.priority, tuple(sorted(removed.key)))
        self.installed.pop(key, None)
        if self.reading is not None:
            self.reading.touched.add(key)


def error_code(buf: bytes) -> tuple[int, int]:
    """Type and code of an OpenFlow error message."""
    if len(buf) < 12:
        return 0, 0
    return int.from_bytes(buf[8:10], "big"), int.from_bytes(buf[10:12], "big")

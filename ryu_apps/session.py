"""One connected switch: reading what it has, changing it in atomic bundles, confirming.

A session goes *reading* (rules and meters are asked for) → *settling* (link
discovery may answer) → *ready*. It never clears a table: it sends the
difference, and nothing where there is none.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from policies.compiler import Change, SwitchView
from policies.rules import Meter, Rule
from response.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Send, Tell
from ryu_apps.losses import Losses
from ryu_apps.reconcile import Difference, compare
from ryu_apps.wire import messages
from ryu_apps.wire.decode import FlowRemoved, flow_stats, multipart_more
from ryu_apps.wire.encode import WireKey, WireRule, wire_key, wire_rule

SETTLE = 0.25  # seconds that link discovery gets before the first comparison
READ_TIMEOUT = 10.0
RETRY_AFTER = 2.0
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
    _reading: dict[int, str] = field(default_factory=dict)
    _read_since: float = 0.0
    _found: dict[WireKey, WireRule] = field(default_factory=dict)
    _pending: dict[int, Pending] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Nothing is on its way: the switch is known to have what `installed` says."""
        return not self._pending

    def read(self, now: float) -> list[Effect]:
        """Ask for everything the switch has; `message` takes the answers."""
        flows, meters = next(_xids), next(_xids)
        self.phase = Phase.READING
        self._reading = {flows: "flows", meters: "meters"}
        self._read_since = now
        self._found = {}
        self._pending = {}
        return [Send(self.switch, messages.read_flows(flows) + messages.read_meters(meters))]

    def multipart(self, xid: int, buf: bytes, now: float) -> bool:
        """Take one answer to `read`; True when the last one is in.

        Raises Malformed for bytes that are no such answer.
        """
        kind = self._reading.get(xid)
        if kind is None:
            self.losses.take(xid, buf)
            return False
        if kind == "flows":
            self._found.update((rule.key, rule) for rule in flow_stats(buf))
        else:
            self.meters.update(messages.meter_entries(buf))
        if multipart_more(buf):
            return False
        del self._reading[xid]
        if self._reading:
            return False
        self.installed = self._found
        self.phase = Phase.SETTLING
        self.settled_at = now + SETTLE
        return True

    def read_failed(self, now: float) -> bool:
        """A read that was never answered; it does not mean that rules are missing."""
        late = self.phase is Phase.READING and now - self._read_since > READ_TIMEOUT
        return late or (self.retry_at > 0 and now >= self.retry_at)

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
        return [Send(self.switch, data + messages.barrier(next(_xids)))] if data else []

    def reconcile(
        self, desired: Sequence[Rule], now: float, confirmed: Confirmed | None = None
    ) -> list[Effect]:
        """Send the difference to ``desired``, in one bundle."""
        difference = compare((wire_rule(rule) for rule in desired), self.installed)
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

    def remove(
        self, rules: Sequence[WireRule], what: str, now: float, confirmed: Confirmed
    ) -> list[Effect]:
        present = tuple(rule for rule in rules if rule.key in self.installed)
        return self._apply(Difference((), (), present, 0), what, now, confirmed)

    def _apply(
        self, difference: Difference, what: str, now: float, confirmed: Confirmed | None
    ) -> list[Effect]:
        if not difference.changes:
            return confirmed(now) if confirmed is not None else []
        for rule in (*difference.missing, *difference.altered):
            self.installed[rule.key] = rule
        for rule in difference.excess:
            self.installed.pop(rule.key, None)
        xid = next(_xids)
        self._pending[xid] = Pending(what, now, confirmed)
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
        kind, code = struct.unpack_from("!HH", buf, 8) if len(buf) >= 12 else (0, 0)
        self.counters.failures += 1
        self.retry_at = now + RETRY_AFTER
        text = f"switch {self.switch} refused the change for {pending.what}: error {kind}/{code}"
        return [
            Log(logging.ERROR, text),
            Tell(SwitchChanged(now, self.switch, "failed", text)),
        ]

    def flow_removed(self, removed: FlowRemoved) -> None:
        """A rule ended by its own timeout is no longer installed."""
        key = (removed.table, removed.priority, tuple(sorted(removed.key)))
        self.installed.pop(key, None)

"""One connected switch: read its rules, change them in atomic bundles, wait for confirmation.

A session goes from *asking* (capabilities) to *reading* (rules and meters) to *settling* (time
for link discovery) to *ready*, or stays on *standby* where the switch is another controller's.
It never clears a table: it sends the difference, and nothing where there is none. When ready it
reads again every few seconds, to find what others changed on the switch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from policies.compiler import RuleChange, SwitchView
from policies.rules.rule import Meter, Rule
from response.ipc.messages import SwitchChanged
from ryu_apps.effects import Effect, Log, Report, Send
from ryu_apps.openflow.decode import FlowRemoved
from ryu_apps.openflow.encode import WireKey, WireRule, wire_key, wire_rule
from ryu_apps.openflow.foreign_changes import ForeignChanges
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch import meters
from ryu_apps.switch.bundle_writer import (
    BundleWriter,
    Confirmed,
    PendingChange,
    SwitchRefusal,
    WriteCounters,
)
from ryu_apps.switch.capabilities import CapabilityProbe
from ryu_apps.switch.flow_counters import SwitchCounters
from ryu_apps.switch.listing_length import ListingLength
from ryu_apps.switch.reconcile import (
    CheckResult,
    RuleDifference,
    compare,
    exchanged,
    lacks_room,
    put_anew,
)
from ryu_apps.switch.refused_rules import RefusedRules, named_by, told
from ryu_apps.switch.roles import ControllerRole
from ryu_apps.switch.switch_profile import SwitchProfile
from ryu_apps.switch.table_reader import TableReading
from ryu_apps.switch.telemetry_loss import TelemetryLoss
from ryu_apps.switch.transactions import Transactions

SETTLE = 0.25  # seconds that link discovery gets before the first comparison
RETRY_AFTER = 2.0  # seconds, and twice as long each time
RETRY_AT_MOST = 60.0
NO_ROOM = "has no room for new rules beside old ones: it drops all packets during the exchange"
MOST_UNCONFIRMED = 1_000  # changes that a switch has not confirmed
CHECK_EVERY = 4.0  # seconds from one comparison to the next


class Phase(Enum):
    ASKING = "asking"
    READING = "reading"
    STANDBY = "standby"
    SETTLING = "settling"
    READY = "ready"


@dataclass(slots=True)
class Session:
    switch: int
    reported: ReportedPorts
    tables: int = 254
    view: SwitchView | None = None  # that its rules were last made for
    phase: Phase = Phase.READING
    profile: SwitchProfile = field(default_factory=SwitchProfile)
    installed: dict[WireKey, WireRule] = field(default_factory=dict)
    meters: dict[int, tuple[int, int]] = field(default_factory=dict)
    transactions: Transactions = field(default_factory=Transactions)
    telemetry_loss: TelemetryLoss = field(init=False)
    flow_counters: SwitchCounters = field(init=False)
    foreign: ForeignChanges = field(default_factory=ForeignChanges)
    settled_at: float = 0.0
    retry_at: float = 0.0
    problem: str = ""  # why it does not have the rules that it should
    last_difference: str = ""
    check_at: float = 0.0
    checked: CheckResult | None = None
    drifted: CheckResult | None = None  # the last comparison that found something
    reading: TableReading | None = None
    probe: CapabilityProbe | None = None
    role: ControllerRole = field(init=False)
    confirmed: bool = False  # it has taken a whole set of rules
    writer: BundleWriter = field(init=False)
    expected: int = 0  # rules of feeds, that it may have since an earlier run
    refusal: SwitchRefusal | None = None  # the last, until it is followed up
    left_out: RefusedRules = field(default_factory=RefusedRules)
    _known: Mapping[bytes, WireRule] = field(default_factory=dict)
    _refusals: int = 0  # in a row

    def __post_init__(self) -> None:
        self.writer = BundleWriter(self.switch, self.transactions)
        self.role = ControllerRole(self.transactions)
        self.telemetry_loss = TelemetryLoss(self.transactions)
        self.flow_counters = SwitchCounters(self.transactions)

    @property
    def ports(self) -> dict[int, bytes]:
        """MACs of its usable ports, by number."""
        return self.reported.macs

    @property
    def counters(self) -> WriteCounters:
        return self.writer.counters

    @property
    def idle(self) -> bool:
        """Whether nothing is pending: the switch is known to have the rules of `installed`."""
        return self.writer.idle

    @property
    def unsure(self) -> bool:
        """Whether it refused a change, so that its rules may differ from `installed`."""
        return self.retry_at > 0

    def ask(self, now: float) -> list[Effect]:
        """Request what the switch can do."""
        self.phase = Phase.ASKING
        self.transactions.withdraw(self.probe)
        self.probe = CapabilityProbe(self.tables, self.transactions)
        return [Send(self.switch, self.probe.ask(now))]

    def stand_by(self, why: str) -> None:
        """Write nothing until the switch connects again."""
        self.phase, self.problem = Phase.STANDBY, why
        self.retry_at = 0.0
        self.drop_reading()
        self.writer.forget()

    def use_profile(self, profile: SwitchProfile) -> None:
        """Write the switch's rules by a profile from now on."""
        self.transactions.withdraw(self.probe)
        self.profile, self.probe = profile, None
        self.writer.atomic = profile.bundles

    def port_changed(self, port: int, mac: bytes | None) -> bool:
        """Take over a port's MAC, None when it went away; whether that is new."""
        before = self.ports.get(port)
        if mac is None:
            self.reported.remove(port)
        else:
            self.reported.change(port, mac)
        return before != self.ports.get(port)

    def read(self, now: float) -> list[Effect]:
        """Request everything the switch has; `listed` takes the replies."""
        self.phase = Phase.READING
        self.writer.forget()
        return [*self._watch(), *self.check(now)]

    def _watch(self) -> list[Effect]:
        """Ask the switch, once, to report what others change."""
        if self.foreign.asked:
            return []
        xid = self.transactions.begin(self.foreign)
        return [Send(self.switch, self.foreign.watch(xid, self.profile.watched_tables))]

    def check(self, now: float, *, thorough: bool = False) -> list[Effect]:
        """Request the same while everything goes on."""
        self.drop_reading()
        self.foreign.comparing(now)
        length = ListingLength(max(len(self.installed), self.expected))
        self.reading = TableReading(self.transactions, self._known, thorough, length=length)
        return [Send(self.switch, self.reading.ask(now))]

    def drop_reading(self) -> None:
        """Stop waiting for the replies to a reading."""
        if self.reading is not None:
            self.transactions.withdraw(self.reading)
            self.reading = None

    def listed(self, xid: int, buf: bytes, now: float) -> TableReading | None:
        """Take one part of a reply to the reading; the reading, when that completes it.

        Raises Malformed for bytes that are no such reply, and EndlessListing.
        """
        reading = self.reading
        if reading is None:
            return None
        reading.take(xid, buf, now)
        if not reading.complete:
            return None
        self.reading = None
        self._known = reading.seen
        return reading

    def settle(self, reading: TableReading, now: float) -> None:
        """Take the first reading for what the switch has."""
        self.installed, self.meters = reading.found, reading.meters
        self.phase = Phase.SETTLING
        self.settled_at = now + SETTLE

    def set_meters(self, wanted: Iterable[Meter]) -> list[Effect]:
        """Write meters before the rules that use them."""
        new = meters.missing(wanted, self.meters) if self.profile.meters else []
        return self._write_meters(meters.written(new, self.meters), (m.number for m in new))

    def drop_meters(self, wanted: Iterable[Meter]) -> list[Effect]:
        """Delete the meters of limits that have ended; no rule may use them by now."""
        gone = meters.unused(wanted, self.meters)
        return self._write_meters(meters.deleted(gone, self.meters), gone)

    def _write_meters(self, data: bytes, numbers: Iterable[int]) -> list[Effect]:
        if self.reading is not None:
            self.reading.touched_meters.update(numbers)
        return [Send(self.switch, data)] if data else []

    def wire(self, rules: Iterable[Rule]) -> Iterator[WireRule]:
        """Rules as this switch gets them."""
        return iter(self.left_out.without(map(wire_rule, self.profile.fitted(rules))))

    def difference(self, desired: Iterable[Rule]) -> RuleDifference:
        """Between what the switch has and everything that it should have."""
        rules = tuple(desired)
        self.left_out.keep(map(wire_key, rules) if self.left_out.rules else ())
        return compare(self.wire(rules), self.installed)

    def reconcile(
        self, difference: RuleDifference, now: float, confirmed: Confirmed | None = None
    ) -> list[Effect]:
        """Send a `difference`."""
        self.last_difference = difference.summary()
        return self._apply(difference, "policy", confirmed, now)

    def change(
        self, change: RuleChange, now: float, confirmed: Confirmed | None = None
    ) -> list[Effect]:
        """Send a change of what a comparison settled before."""
        removed = map(wire_key, change.removed)
        return self.exchange(self.wire(change.added), removed, "policy", now, confirmed)

    def exchange(
        self,
        added: Iterable[WireRule],
        removed: Iterable[WireKey],
        what: str,
        now: float,
        confirmed: Confirmed | None = None,
    ) -> list[Effect]:
        """Send those of some rules that are not there yet, and take away those that are."""
        difference = exchanged(self.left_out.without(added), removed, self.installed)
        return self._apply(difference, what, confirmed, now)

    def ensure(
        self, rules: Iterable[Rule], what: str, now: float, confirmed: Confirmed
    ) -> list[Effect]:
        """Put single rules on the switch where they are not there yet, and take none away."""
        missing = compare(self.wire(rules), self.installed)
        only = RuleDifference(missing.missing, missing.altered, (), missing.proper)
        return self._apply(only, what, confirmed, now)

    def put(
        self, change: RuleChange, what: str, now: float, confirmed: Confirmed | None = None
    ) -> list[Effect]:
        """Write rules anew, timers included, and take others away."""
        difference = put_anew(
            self.wire(change.added), map(wire_key, change.removed), self.installed
        )
        return self._apply(difference, what, confirmed, now)

    def _apply(
        self, difference: RuleDifference, what: str, confirmed: Confirmed | None, now: float
    ) -> list[Effect]:
        if not difference.changes and (confirmed is None or self.idle):
            return confirmed(now) if confirmed is not None else []
        if self.writer.pending >= MOST_UNCONFIRMED:
            return self._unconfirmed(now)
        tight = not self.profile.bundles and lacks_room(
            difference, self.installed, self.profile.sizes
        )
        replaced = (self.installed.get(r.key) for r in (*difference.missing, *difference.altered))
        before = tuple(rule for rule in replaced if rule is not None)
        self.installed |= {r.key: r for r in (*difference.missing, *difference.altered)}
        for rule in difference.excess:
            self.installed.pop(rule.key, None)
        if self.reading is not None:
            changed = (*difference.missing, *difference.altered, *difference.excess)
            self.reading.touched.update(rule.key for rule in changed)
        effects = self.writer.send(PendingChange(what, difference, before, confirmed, tight))
        if tight:
            effects.insert(0, Log(logging.WARNING, f"switch {self.switch} {NO_ROOM}"))
        return effects

    def _unconfirmed(self, now: float) -> list[Effect]:
        """Send no more to a switch that confirms nothing: what it has is read again."""
        self.problem = f"does not confirm {self.writer.pending:,} changes: no more are sent"
        if self.unsure:
            return []
        self.retry_at = now + RETRY_AFTER
        self.counters.failures += 1
        text = f"switch {self.switch} {self.problem}"
        return [Log(logging.ERROR, text), Report(SwitchChanged(now, self.switch, "failed", text))]

    def barrier(self, xid: int, now: float) -> list[Effect]:
        """The switch has done all that came before."""
        effects, failed = self.writer.barrier(xid, now)
        if failed is not None:
            return [*effects, *self._failed(failed, now)]
        return effects

    def accepted(self) -> None:
        """The switch has all the rules that it should have."""
        self.confirmed, self._refusals = True, 0

    def error(self, xid: int, buf: bytes, now: float) -> list[Effect]:
        """A switch refused something; what it has is read again, later each time."""
        failed = self.writer.refuse(xid, buf)
        return [] if failed is None else self._failed(failed, now)

    def _failed(self, change: PendingChange, now: float) -> list[Effect]:
        refusal = self.refusal = change.refusal or SwitchRefusal(0, 0)
        self.counters.failures += 1
        self.drop_reading()
        sent = (*change.difference.missing, *change.difference.altered)
        refused = named_by(change.refused, sent)
        if self.left_out.isolate(refused):
            self.refusal, self.retry_at = None, now
            text = told(self.switch, refused, refusal.reason(self.profile))
            self.problem = "its rules are compared again without those that it refused"
            isolated = SwitchChanged(now, self.switch, "refused", text)
            return [Log(logging.ERROR, text), Report(isolated)]
        self.retry_at = now + min(RETRY_AFTER * 2**self._refusals, RETRY_AT_MOST)
        self._refusals += 1
        why = refusal.reason(self.profile)
        text = f"switch {self.switch} refused the change for {change.what}: {why}"
        self.problem = f"refused the change for {change.what}: {why}; it stays as it was"
        report = Report(SwitchChanged(now, self.switch, "failed", text))
        return [Log(logging.ERROR, text), report]

    def flow_removed(self, removed: FlowRemoved) -> None:
        """A rule that timed out is no longer installed; one that somebody removed is found
        missing when the switch is read again."""
        if not removed.timed_out:
            return
        key = (removed.table, removed.priority, tuple(sorted(removed.key)))
        self.installed.pop(key, None)
        if self.reading is not None:
            self.reading.touched.add(key)

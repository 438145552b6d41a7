"""The decisions in a controller's state directory, read afterwards."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from detection.alert import Alert
from mininet_tests.lab.plan import LabError
from mininet_tests.scenario.timeline import Containment
from response.audit.log import Audit
from response.decision import Decision
from response.state.store import Store, StoreError


def read_evidence(state: Path, now: float) -> tuple[Containment, ...]:
    """Every decision in the directory with its alert and the time its rules were confirmed."""
    try:
        store = Store.open(state, now, create=False)
    except StoreError as error:
        raise LabError(str(error)) from error
    try:
        return tuple(_containment(store, decision) for decision in store.decisions())
    finally:
        store.close()


def first_alert(state: Path, addresses: Collection[str], now: float) -> Alert | None:
    """The first alert about one of these addresses, whatever became of it."""
    store = Store.open(state, now, create=False)
    try:
        return next((s.alert for s in store.alerts() if s.alert.host in addresses), None)
    finally:
        store.close()


def audit_problems(state: Path, now: float) -> tuple[str, ...]:
    """What is wrong with the directory's audit chain; empty if it is whole."""
    store = Store.open(state, now, create=False)
    try:
        return Audit(store).verify().problems
    finally:
        store.close()


def _containment(store: Store, decision: Decision) -> Containment:
    stored = store.alert_of(decision.id)
    confirmed: dict[int, float] = {}
    for entry in Audit(store).entries(kind="confirmed", decision=decision.id):
        for rule in entry.values()["rules"]:  # switch, table, cookie
            confirmed.setdefault(int(rule[0]), entry.ts)
    rule_at = max(confirmed.values(), default=None)
    return Containment(decision, None if stored is None else stored.alert, rule_at)

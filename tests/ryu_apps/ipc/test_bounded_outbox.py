"""What waits for an analysis that does not take it: bounded in every class, and counted."""

from __future__ import annotations

import pytest

from response.decision import InstalledRule
from response.ipc.messages import (
    HostsChanged,
    Message,
    OwnAddresses,
    PolicyApplied,
    PolicyConfirmed,
    PolicyEvents,
    RecordsSeen,
    RulesConfirmed,
    SpoofsSeen,
    SwitchChanged,
)
from ryu_apps.ipc.outbox import Outbox
from topology.records import FlowRecord, SpoofedPacket

pytestmark = pytest.mark.threat("heartbeat")

SENT, WAITING = 30_000, 20_000


def message(kind: str, number: int) -> Message:
    match kind:
        case "records":
            return RecordsSeen((FlowRecord(float(number), "10.0.0.1", "10.0.0.2", "tcp"),))
        case "spoofs":
            return SpoofsSeen((SpoofedPacket(1.0, 1, 1, "00:00:00:00:00:01", None, "x"),))
        case "switch events":
            return SwitchChanged(float(number), 1, "connected", "")
        case "confirmations":
            return RulesConfirmed(float(number), "d1", (InstalledRule(1, 3, number),))
        case "policies":
            return PolicyApplied(float(number), (), str(number))
        case _:
            return PolicyConfirmed(number, (1,))


@pytest.mark.parametrize(
    "kind",
    ["records", "spoofs", "switch events", "confirmations", "policies", "confirmed policies"],
)
def test_every_class_is_bounded_and_what_is_dropped_is_counted(kind: str) -> None:
    box = Outbox()
    for number in range(SENT):
        box.put(message(kind, number))
    lost = box.lost_by_class
    assert sum(lost.values()) >= SENT - WAITING
    assert set(lost) == {kind.replace("confirmed policies", "policies")}
    left = [each for each in box.take() for _ in range(weight(each))]
    assert len(left) == SENT - sum(lost.values()) > 0


def weight(taken: Message) -> int:
    if isinstance(taken, RecordsSeen):
        return len(taken.records)
    return len(taken.spoofs) if isinstance(taken, SpoofsSeen) else 1


def test_of_what_is_said_whole_only_the_latest_waits() -> None:
    box = Outbox()
    for number in range(100):
        box.put(HostsChanged(()))
        box.put(OwnAddresses((str(number),)))
        box.put(PolicyEvents(()))
    assert box.take() == [HostsChanged(()), OwnAddresses(("99",)), PolicyEvents(())]

"""A port that keeps sending spoofed packets is an alert about that port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from response.ipc.messages import SpoofsSeen
from topology.records import SpoofedPacket

if TYPE_CHECKING:
    from tests.support.street import Street

pytestmark = pytest.mark.threat("audit-anchor")


def spoofs(street: Street, ts: float, port: int, sources: int = 1) -> None:
    """Packets from one port that borrow addresses."""
    seen = tuple(
        SpoofedPacket(
            ts, 1, port, f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", "10.0.0.2", "borrowed"
        )
        for n in range(sources)
    )
    street.analysis.step(SpoofsSeen(seen), ts)


def test_an_arp_spoofer_is_an_alert_on_its_port(street: Street) -> None:
    """One forged answer every two seconds, as the usual tools send."""
    for second in range(0, 60, 2):
        spoofs(street, 1000.0 + second, 3)
    (stored,) = street.store.alerts()
    assert (stored.alert.host, stored.alert.kind) == ("switch 1 port 3", "spoofing")
    assert stored.outcome == "alert" and not street.store.decisions()
    (told,) = (entry.values() for entry in street.audit.entries(kind="alert"))
    assert told["alert"]["host"] == "switch 1 port 3"
    assert sum(part.contribution for part in stored.alert.features) == stored.alert.raw > 0


def test_a_flood_from_invented_sources_is_an_alert_at_once(street: Street) -> None:
    spoofs(street, 1000.0, 4, sources=1_200)
    spoofs(street, 1001.0, 4, sources=1_200)
    (stored,) = street.store.alerts()
    assert stored.alert.host == "switch 1 port 4", "one alert, about the port"
    sources = next(each for each in stored.alert.features if each.feature == "spoofed_sources")
    assert sources.value >= 100


def test_it_is_told_again_only_while_it_goes_on(street: Street) -> None:
    for second in range(0, 2000, 5):
        spoofs(street, 1000.0 + second, 3)
    assert 2 <= len(street.store.alerts()) <= 4


def test_a_few_packets_of_a_host_that_moves_are_no_alert(street: Street) -> None:
    for second in range(5):
        spoofs(street, 1000.0 + second, 3)
    spoofs(street, 1200.0, 3)
    assert not street.store.alerts()

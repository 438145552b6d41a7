"""Decisions on discovered hosts act on and count the port that they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import to_builtins

from response.ipc.messages import Command, Enforce, HostsChanged, RecordsSeen
from tests.support.street import make_alert
from topology.records import Binding, FlowRecord

if TYPE_CHECKING:
    from tests.support.street import Street

pytestmark = pytest.mark.threat("host-is-its-port")
FIRST, SECOND, THIRD = (f"00:00:00:00:00:9{n}" for n in (1, 2, 3))
LOOSE = [f"10.0.0.{n}" for n in range(50, 60)]


@pytest.fixture
def edge(street: Street) -> Street:
    """A street in whose segment discovered hosts are."""
    street.segments.members["web"] |= set(LOOSE)
    street.use_policy(1000.0)
    return street


def accuse(street: Street, host: str, now: float = 1001.0) -> list[Command]:
    row = street.detector.rows
    street.detector.alerts[row] = make_alert(host, now, (row,), id=f"a{row}")
    seen = FlowRecord(now, host, "10.0.0.2", "tcp", 40000, 22, phase="start", switch=1)
    return street.analysis.step(RecordsSeen((seen,)), now)


def bound(*found: tuple[str, str, int], host: str | None = None) -> tuple[Binding, ...]:
    return tuple(Binding(mac, ip, 1, port, host) for mac, ip, port in found)


def told(command: Command) -> dict[str, Any]:
    data: dict[str, Any] = to_builtins(command.decision)
    return data


@pytest.mark.xfail(strict=True, reason="decisions act on addresses alone")
def test_a_decision_on_a_discovered_host_takes_its_port(edge: Street) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    (command,) = accuse(edge, LOOSE[0])
    assert (told(command)["scope"], told(command).get("ports")) == ("port", [[1, 7]])
    for entry in edge.audit.entries(decision="d1"):
        if entry.kind in ("decision", "enforce"):
            assert entry.values()["ports"] == [[1, 7]]


@pytest.mark.xfail(strict=True, reason="another identity on the port is another host")
def test_another_mac_and_address_on_the_port_change_nothing(edge: Street) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    (command,) = accuse(edge, LOOSE[0])
    hopped = bound((FIRST, LOOSE[0], 7), (SECOND, LOOSE[1], 7))
    assert edge.analysis.step(HostsChanged(hopped), 1002.0) == []
    again = accuse(edge, LOOSE[1], 1003.0)
    assert [each.decision.id for each in again] in ([], [command.decision.id])
    assert "d1 (active) covers" in edge.store.alerts()[-1].reason


@pytest.mark.xfail(strict=True, reason="every identity counts in max_hosts")
def test_bait_identities_on_one_port_count_once(edge: Street) -> None:
    """``max_hosts`` is 2: the third identity of one port must not use it up."""
    identities = bound(*((FIRST[:-1] + str(n), LOOSE[n], 7) for n in range(4)))
    other = bound((THIRD[:-2] + "aa", LOOSE[9], 8))
    edge.analysis.step(HostsChanged((*identities, *other)), 1000.5)
    for n in range(4):
        accuse(edge, LOOSE[n], 1001.0 + n)
    (command,) = accuse(edge, LOOSE[9], 1010.0)
    assert isinstance(command, Enforce)
    assert command.decision.state == "active"
    assert edge.analysis.active_count == 2


@pytest.mark.xfail(strict=True, reason="other identities of the host go on")
def test_a_port_with_a_declared_host_is_not_taken_whole(edge: Street) -> None:
    """The decision acts on the discovered identities there, and the port is proposed."""
    declared = bound(("00:00:00:00:00:02", "10.0.0.2", 7), host="web2")
    found = bound((FIRST, LOOSE[0], 7), (SECOND, LOOSE[1], 7))
    edge.analysis.step(HostsChanged((*declared, *found)), 1000.5)
    (command,) = accuse(edge, LOOSE[0])
    assert told(command)["scope"] == "host"
    assert {LOOSE[0], LOOSE[1]} <= set(command.decision.addresses)
    assert "10.0.0.2" not in command.decision.addresses
    (proposal,) = edge.store.decisions("proposed")
    assert (proposal.scope, proposal.target) == ("port", LOOSE[0])

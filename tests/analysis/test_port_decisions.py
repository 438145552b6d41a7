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


def test_a_decision_on_a_discovered_host_takes_its_port(edge: Street) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    (command,) = accuse(edge, LOOSE[0])
    assert (told(command)["scope"], told(command).get("ports")) == ("port", ((1, 7),))
    for entry in edge.audit.entries(decision="d1"):
        if entry.kind in ("decision", "enforce"):
            assert entry.values()["ports"] == [[1, 7]]


def test_another_mac_and_address_on_the_port_change_nothing(edge: Street) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    (command,) = accuse(edge, LOOSE[0])
    hopped = bound((FIRST, LOOSE[0], 7), (SECOND, LOOSE[1], 7))
    assert edge.analysis.step(HostsChanged(hopped), 1002.0) == []
    again = accuse(edge, LOOSE[1], 1003.0)
    assert [each.decision.id for each in again] in ([], [command.decision.id])
    assert "d1 (active) covers" in edge.store.alerts()[-1].reason


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
    assert (proposal.scope, proposal.target) == ("shared-port", LOOSE[0])


def test_a_declared_host_that_comes_later_ends_the_whole_and_a_person_may_take_it(
    edge: Street,
) -> None:
    found = bound((FIRST, LOOSE[0], 7), (SECOND, LOOSE[1], 7))
    edge.analysis.step(HostsChanged(found), 1000.5)
    accuse(edge, LOOSE[0])
    declared = bound(("00:00:00:00:00:02", "10.0.0.2", 7), host="web2")
    enforce, release = edge.analysis.step(HostsChanged((*declared, *found)), 1002.0)
    assert isinstance(enforce, Enforce)
    assert (enforce.decision.scope, enforce.decision.supersedes) == ("host", "d1")
    assert {LOOSE[0], LOOSE[1]} <= set(enforce.decision.addresses)
    # Identities that come now are covered as they come; the port is not taken.
    more = bound((THIRD, LOOSE[2], 7))
    (wider,) = edge.analysis.step(HostsChanged((*declared, *found, *more)), 1003.0)
    assert LOOSE[2] in wider.decision.addresses and wider.decision.scope == "host"
    (proposal,) = edge.store.decisions("proposed")
    done = edge.analysis.approve(proposal.id, "ana", 1004.0)
    assert done.ok and "all of port 7 of switch 1" in done.text
    assert edge.analysis.active_count == 1
    assert edge.analysis.step(HostsChanged((*declared, *found)), 1005.0) == [], "she knew"


def test_a_host_that_moves_takes_its_decision_to_the_next_port(edge: Street) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    accuse(edge, LOOSE[0])
    (wider,) = edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[3], 8))), 1002.0)
    assert wider.decision.ports == ((1, 7), (1, 8))
    assert LOOSE[3] in wider.decision.addresses


def test_what_a_person_released_is_only_proposed_again_whoever_is_there(edge: Street) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    accuse(edge, LOOSE[0])
    edge.analysis.release("d1", "ana", 1002.0)
    edge.analysis.step(HostsChanged(bound((SECOND, LOOSE[1], 7))), 1003.0)
    assert accuse(edge, LOOSE[1], 1004.0) == []
    assert [each.scope for each in edge.store.decisions("proposed")] == ["port"]


def test_nothing_is_learned_from_a_port_that_is_taken_and_all_of_it_again_afterwards(
    edge: Street,
) -> None:
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7))), 1000.5)
    accuse(edge, LOOSE[0])
    edge.analysis.step(HostsChanged(bound((FIRST, LOOSE[0], 7), (SECOND, LOOSE[1], 7))), 1002.0)
    assert {LOOSE[0], LOOSE[1]} <= edge.detector.suspended
    edge.analysis.release("d1", "ana", 1003.0)
    assert not edge.detector.suspended

"""Which of two connections drives a switch, and which are refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from policies.compiler.switches_file import Switches, SwitchSetting
from response.ipc.messages import SwitchChanged
from ryu_apps.connections.driving import (
    ANSWER_WITHIN,
    MOST_TOLD,
    SwitchConnections,
    SwitchPeer,
)
from ryu_apps.connections.identity import DatapathIdentity, certificate_names
from ryu_apps.effects import Effect, Log, Report, Send

pytestmark = pytest.mark.threat("switch-identity")
CLOCK = 1_000.0


@dataclass(eq=False)
class RecordedPeer:
    id: int
    address: tuple[str, int] = ("192.0.2.1", 40_000)
    names: frozenset[str] | None = None
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class RecordingDriver:
    happened: list[tuple[str, object]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def drive(self, peer: SwitchPeer) -> None:
        self.happened.append(("drive", peer))

    def stop_driving(self, switch: int) -> None:
        self.happened.append(("stop", switch))

    def carry_out(self, effects: Iterable[Effect]) -> None:
        self.effects += effects

    def asked(self) -> bytes:
        """What the last echo request holds."""
        return [each.data for each in self.effects if isinstance(each, Send)][-1][8:]

    def reported(self) -> list[str]:
        messages = (each.message for each in self.effects if isinstance(each, Report))
        return [each.detail for each in messages if isinstance(each, SwitchChanged)]


class Two:
    """A switch that is driven, and a second connection with its datapath id."""

    def __init__(self) -> None:
        self.driver = RecordingDriver()
        self.connections = SwitchConnections(self.driver)
        self.first, self.second = RecordedPeer(7), RecordedPeer(7, ("192.0.2.66", 6_666))
        self.connections.arrived(self.first, 0.0, CLOCK)
        self.connections.arrived(self.second, 1.0, CLOCK)


def test_one_that_answers_keeps_its_switch() -> None:
    two = Two()
    assert two.connections.drives(two.first) and not two.connections.drives(two.second)
    assert not two.connections.echoed(two.first, b"of the library", CLOCK)
    assert two.connections.echoed(two.second, two.driver.asked(), CLOCK)
    assert not two.second.closed, "it cannot answer for the first"
    assert two.connections.echoed(two.first, two.driver.asked(), CLOCK)
    assert two.second.closed and two.connections.refused == 1
    (text,) = two.driver.reported()
    assert "192.0.2.66 port 6666" in text and "192.0.2.1 port 40000" in text
    two.connections.left(two.second)
    two.connections.tick(100.0)
    assert two.driver.happened == [("drive", two.first)] and not two.first.closed


def test_one_that_does_not_answer_in_time_gives_way() -> None:
    two = Two()
    two.connections.tick(1.0 + ANSWER_WITHIN - 0.1)
    assert two.connections.drives(two.first)
    two.connections.tick(1.0 + ANSWER_WITHIN)
    assert two.connections.drives(two.second) and two.first.closed and not two.second.closed
    two.connections.left(two.first)
    assert two.connections.echoed(two.first, two.driver.asked(), CLOCK), "too late"
    happened = [("drive", two.first), ("stop", 7), ("drive", two.second)]
    assert two.driver.happened == happened and two.connections.refused == 0


def test_one_whose_connection_ends_gives_way_at_once() -> None:
    two = Two()
    two.connections.left(two.first)
    assert two.connections.drives(two.second)
    two.connections.left(two.second)
    assert two.driver.happened[-1] == ("stop", 7)
    two.connections.tick(100.0)
    back = RecordedPeer(7)
    two.connections.arrived(back, 101.0, CLOCK)
    assert two.connections.drives(back)


def test_a_newcomer_that_leaves_changes_nothing_and_a_third_does_not_wait() -> None:
    two = Two()
    third = RecordedPeer(7)
    two.connections.arrived(third, 1.1, CLOCK)
    assert third.closed and two.connections.refused == 1
    two.connections.left(two.second)
    two.connections.tick(100.0)
    assert two.driver.happened == [("drive", two.first)]


def test_refusals_are_counted_one_by_one_and_reported_less_and_less() -> None:
    driver = RecordingDriver()
    connections = SwitchConnections(driver)
    for _ in range(100):
        connections.arrived(RecordedPeer(0), 0.0, CLOCK)
    assert connections.refused == 100
    assert len(driver.reported()) == 7
    assert all(each.level == logging.ERROR for each in driver.effects if isinstance(each, Log))
    listed = SwitchConnections(driver, DatapathIdentity(listed_only=True))
    for switch in range(1, 3 * MOST_TOLD):
        listed.arrived(RecordedPeer(switch), 0.0, CLOCK)
    assert len(listed._told) == MOST_TOLD


def settings(**certificates: str | None) -> Switches:
    own = {int(name[1:]): SwitchSetting(certificate=each) for name, each in certificates.items()}
    return Switches(own=own)


@pytest.mark.parametrize(
    ("switch", "names", "problem"),
    [
        (1, {"leaf1", "leaf1.example.net"}, None),
        (1, {"leaf2"}, "its certificate is that of leaf2, not of leaf1"),
        (1, set(), "its certificate is that of nobody"),
        (1, None, "only over TLS"),
        (2, {"anybody"}, None),
        (2, None, None),
        (3, {"leaf1"}, "not in the switches file"),
        (0, {"leaf1"}, "0 is no datapath id"),
    ],
)
def test_ids_and_certificates(switch: int, names: set[str] | None, problem: str | None) -> None:
    rules = DatapathIdentity(settings(s1="leaf1", s2=None), listed_only=True)
    found = rules.problem(switch, None if names is None else frozenset(names), ())
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_an_id_that_folds_to_another_s_zone_needs_a_word_in_the_file() -> None:
    found = DatapathIdentity().problem(0x1_0000, None, [1, 2])
    assert found is not None and "zone of switch 1" in found
    assert DatapathIdentity().problem(1, None, [1, 2]) is None, "a second connection of the same"
    assert DatapathIdentity(settings(s65536=None)).problem(0x1_0000, None, [1, 2]) is None


def test_names_of_a_certificate_are_those_that_can_be_shown() -> None:
    certificate = {
        "subject": ((("organizationName", "septum"),), (("commonName", "leaf1"),)),
        "subjectAltName": (("DNS", "leaf1.example.net"), ("DNS", "x\x1b[2J")),
    }
    assert certificate_names(certificate) == {"leaf1", "leaf1.example.net"}
    assert certificate_names(None) == certificate_names({}) == frozenset()

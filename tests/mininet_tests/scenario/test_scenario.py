from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mininet_tests.lab.plan import LabError
from mininet_tests.scenario.attack import hosts_with, nmap_command
from mininet_tests.scenario.scenario import SCENARIOS, Pattern, read_scenario
from mininet_tests.scenario.schedule import Request, benign_day

ADDRESSES = {
    "a": ("10.0.0.1", "fd00::1"),
    "b": ("10.0.0.2", "fd00::2"),
    "c": ("10.0.0.3",),
}
STEADY = Pattern("steady", "http", 80, ("a", "c"), ("b", "c"), every=0.5)
ROUNDS = Pattern("rounds", "ssh", 22, ("a",), ("b", "c"), round=5.0, gap=0.3, key="ops")


def day(seed: int, seconds: float = 20.0) -> tuple[Request, ...]:
    return benign_day([STEADY, ROUNDS], ADDRESSES, seed, seconds)


@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_day_is_its_seed(one: int, other: int) -> None:
    assert day(one) == day(one)
    assert (day(one) == day(other)) == (one == other)


@given(st.integers(0, 1000))
def test_a_longer_day_begins_like_a_shorter_one(seed: int) -> None:
    short = day(seed, 8.0)
    assert tuple(r for r in day(seed, 20.0) if r.at < 8.0) == short


@given(st.integers(0, 1000))
def test_requests_are_in_order_and_sensible(seed: int) -> None:
    requests = day(seed)
    assert [r.at for r in requests] == sorted(r.at for r in requests)
    for request in requests:
        assert 0 <= request.at < 20.0
        assert request.client != request.server
        assert request.ip in ADDRESSES[request.server]
        if ":" in request.ip:
            assert any(":" in ip for ip in ADDRESSES[request.client])


def test_editing_one_pattern_leaves_the_others_alone() -> None:
    alone = benign_day([STEADY], ADDRESSES, 3, 20.0)
    assert tuple(r for r in day(3) if r.pattern == "steady") == alone


def test_both_families_and_every_server_occur() -> None:
    requests = day(1, 60.0)
    assert {":" in r.ip for r in requests} == {True, False}
    assert {r.server for r in requests if r.pattern == "rounds"} == {"b", "c"}
    rate = sum(r.pattern == "steady" for r in requests) / 60 / 2
    assert 1.5 < rate < 2.6


def test_a_round_visits_everyone_once() -> None:
    visits = [r.server for r in benign_day([ROUNDS], ADDRESSES, 5, 60.0)]
    pairs = [set(visits[i : i + 2]) for i in range(0, len(visits) - 1, 2)]
    assert len(pairs) >= 8
    assert all(pair == {"b", "c"} for pair in pairs)


def test_the_demo_is_well_formed() -> None:
    scenario = read_scenario(SCENARIOS / "demo.yaml")
    assert scenario.policy.is_file()
    assert scenario.attack is not None
    keys = {key.name: key for key in scenario.keys}
    assert scenario.attack.host in keys[scenario.attack.hop_key].held_by
    assert set(scenario.attack.hop_to) <= set(keys[scenario.attack.hop_key].opens)
    served = {(s.host, s.program, s.port) for s in scenario.services}
    for pattern in scenario.benign:
        for server in pattern.servers:
            assert (server, pattern.ask, pattern.port) in served
        for client in pattern.clients:
            assert pattern.key is None or client in keys[pattern.key].held_by
    for pattern in scenario.benign:
        if scenario.attack.host in pattern.clients:
            assert pattern.port not in scenario.attack.ports


GOOD = """
kind: LabScenario
name: x
policy: p.yaml
phases: {before: 1, after: 1, benign_only: 2}
servers: {http/80: [a]}
benign: [{name: n, ask: http, port: 80, from: [b], to: [a], every: 1}]
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("LabScenario", "Other", "kind: LabScenario"),
        ("name: x", "title: x", "name is missing"),
        ("http/80", "smtp/25", "smtp/25"),
        ("every: 1", "gap: 1", "either `every` or `round`"),
        ("ask: http", "ask: gopher", "ask is one of"),
        ("before: 1", "before: soon", "could not convert"),
    ],
)
def test_a_wrong_scenario_is_one_clear_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(GOOD)
    assert read_scenario(path).names() == {"a", "b"}
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(LabError) as caught:
        read_scenario(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


REPORT = """# Nmap 7.93 scan
Host: 10.0.2.21 ()\tStatus: Up
Host: 10.0.2.21 ()\tPorts: 22/open/tcp//ssh///, 23/closed/tcp//telnet///
Host: 10.0.3.31 ()\tStatus: Up
Host: 10.0.3.31 ()\tPorts: 22/filtered/tcp//ssh///, 2222/open/tcp//x///
# Nmap done
"""


def test_open_ports_are_read_from_the_report() -> None:
    assert hosts_with(REPORT, 22) == ["10.0.2.21"]
    assert hosts_with(REPORT, 2222) == ["10.0.3.31"]
    assert hosts_with("", 22) == []


def test_the_sweep_is_what_the_scenario_says() -> None:
    attack = read_scenario(SCENARIOS / "demo.yaml").attack
    assert attack is not None
    command = nmap_command(attack, ["10.0.0.1"])
    assert command[command.index("-p") + 1] == ",".join(map(str, attack.ports))
    assert 22 in attack.ports
    assert command[-1] == "10.0.0.1"

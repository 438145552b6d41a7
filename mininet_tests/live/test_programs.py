"""Every server program and every client on real hosts: they serve, and failures are seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mininet_tests.lab.captures import Hostile, hostile_arrived, hostile_sent, reached
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import LabError, LabHost, LabPlan
from mininet_tests.lab.programs import LabPrograms, listens, prepare_site, start_services
from mininet_tests.lab.recorder import InterfaceRecorder
from mininet_tests.scenario.actions import PATIENCE, RequestResult, perform
from mininet_tests.scenario.scenario import ServerProgram, SshKey
from mininet_tests.scenario.schedule import Request

CLIENT = LabHost("client", "02:00:00:00:00:01", ("10.0.0.1", "fd00::1"), 1, 1)
SERVER = LabHost("server", "02:00:00:00:00:02", ("10.0.0.2", "fd00::2"), 1, 2)
PLAN = LabPlan((1,), (CLIENT, SERVER))
PORTS = {"http": 80, "redis": 6379, "dns": 53, "rsync": 873, "ssh": 22}
SERVICES = [ServerProgram("server", program, port) for program, port in PORTS.items()]
KEY = SshKey("ops", ("client",), ("server",))


@pytest.fixture
def site(plain_lab: Callable[[LabPlan], Lab]) -> LabPrograms:
    made = prepare_site(plain_lab(PLAN), [KEY])
    start_services(made, SERVICES)
    return made


def requests(ip: str) -> list[Request]:
    return [
        Request(1.0, "test", ask, "client", "server", ip, port, "ops")
        for ask, port in PORTS.items()
    ]


def together(site: LabPrograms, wanted: list[Request]) -> dict[str, RequestResult]:
    with ThreadPoolExecutor(len(wanted)) as pool:
        return {o.request.ask: o for o in pool.map(lambda request: perform(site, request), wanted)}


@pytest.mark.parametrize("ip", ["10.0.0.2", "fd00::2"])
def test_every_program_serves_its_clients(site: LabPrograms, ip: str) -> None:
    before = time.time()
    for ask, outcome in together(site, requests(ip)).items():
        assert outcome.ok, f"{ask}: {outcome.problem}"
        assert before <= outcome.started <= outcome.ended <= time.time()


def test_a_network_that_drops_is_seen_by_every_client(site: LabPrograms) -> None:
    site.lab.ofctl(1, "del-flows")
    for ask, outcome in together(site, requests("10.0.0.2")).items():
        assert not outcome.ok, ask
        assert outcome.problem
        assert outcome.latency < PATIENCE + 2


def test_an_answer_from_the_wrong_server_is_no_success(site: LabPrograms) -> None:
    (page,) = [r for r in requests("10.0.0.2") if r.ask == "http"]
    wrong = Request(1.0, "test", "http", "client", "client", page.ip, 80)
    assert perform(site, page).ok
    assert not perform(site, wrong).ok


def test_an_ssh_key_opens_only_what_it_should(site: LabPrograms) -> None:
    site.lab.host("server").directory.joinpath("home/.ssh/authorized_keys").write_text("")
    (login,) = [r for r in requests("10.0.0.2") if r.ask == "ssh"]
    assert not perform(site, login).ok


def test_a_server_that_cannot_start_says_why(site: LabPrograms) -> None:
    with pytest.raises(LabError, match="http on server: port 6379 is taken"):
        start_services(site, [ServerProgram("server", "http", 6379)])
    with pytest.raises(LabError, match="rsync on server does not serve: .+"):
        start_services(site, [ServerProgram("server", "rsync", 99999)], timeout=0.5)


def test_listening_is_read_from_the_right_namespace(site: LabPrograms) -> None:
    assert listens(site.lab.host("server").pid, 6379)
    assert not listens(site.lab.host("client").pid, 6379)
    assert listens(site.lab.host("server").pid, 53)


def test_the_recorder_sees_where_packets_leave_and_where_they_arrive(site: LabPrograms) -> None:
    began = time.time()
    recorder = InterfaceRecorder(site.lab, ["client", "server"], [22, 23])
    (login,) = [r for r in requests("10.0.0.2") if r.ask == "ssh"]
    assert perform(site, login).ok
    site.lab.ofctl(1, "del-flows")
    probe = ["ncat", "-z", "-w", "1", "10.0.0.2", "23"]
    assert not site.lab.host("client").run(probe).ok
    seen = recorder.stop()
    hostile = Hostile(began, {"10.0.0.1": frozenset({22, 23})})
    others = {"server": seen["server"]}
    assert set(reached(hostile, others)) == {"server"}
    sent = hostile_sent(hostile, seen["client"])
    arrived = hostile_arrived(hostile, others)
    assert {p.dport for p in sent} == {22, 23}
    assert {p.dport for _, p in arrived} == {22}
    assert began <= sent[0].ts <= arrived[0][1].ts <= time.time()

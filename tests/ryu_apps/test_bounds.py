"""What switches and hosts can make the controller keep: all of it ends, and is counted."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec.structs import replace

from mininet_tests.lab.controller import Controller, ControllerOptions, free_port
from policies.rules.layout import Category, cookie
from response.ipc.messages import Enforce
from ryu_apps.connections.outgoing import MOST_WAITING, Outgoing
from ryu_apps.core import BARRIER, MULTIPART
from ryu_apps.openflow import decode, messages
from ryu_apps.openflow.ethernet import read_frame
from ryu_apps.openflow.reported_ports import ReportedPorts
from ryu_apps.switch.telemetry_loss import TelemetryLoss
from ryu_apps.switch.transactions import Transactions
from ryu_apps.telemetry.flow_tracker import FlowTracker
from tests.support.controller_rig import HOLD, PORTS, Rig
from tests.support.fake_switch import FIXED, Answer, FakeSwitch
from tests.support.running_controller import POLICY, status, until
from topology.hosts import HostTable

pytestmark = pytest.mark.threat("bounds")

MEBIBYTE = 1 << 20
TAG = b"\x81\x00\x00\x05"


class SilentSwitch(FakeSwitch):
    """Answers no barrier once it is ``silent``."""

    silent = False

    def answer(self, data: bytes) -> list[Answer]:
        found = super().answer(data)
        return [each for each in found if not (self.silent and each[0] == BARRIER)]


def test_a_frame_of_nothing_but_tags_is_read_no_further_than_two() -> None:
    assert read_frame(bytes(12) + TAG * 20_000) is None
    two = read_frame(bytes(12) + TAG + b"\x81\x00\x00\x09" + b"\x88\xb5" + bytes(40))
    assert two is not None and (two.vlan, two.eth_type) == (5, 0x88B5)
    assert read_frame(bytes(12) + TAG * 3 + b"\x88\xb5" + bytes(40)) is None


def test_a_listing_that_does_not_end_is_given_up() -> None:
    rig = Rig()
    rig.connect()
    session = rig.core.sessions[1]
    rig.core.check(rig.now)
    assert session.reading is not None
    xid = next(iter(session.reading._waiting))
    size = 60_000
    for number in range(90 * MEBIBYTE // size):
        entry = FIXED.pack(size, 1, 1, 0, number & 0xFFFF, 0, 0, 0, 0, 0, 0)
        entry += struct.pack("!HHxxxx", 1, 4)
        entry = entry.ljust(size, b"\0")
        part = struct.pack("!HHxxxx", messages.MULTIPART_FLOW, 1) + entry
        rig.core.message(1, MULTIPART, xid, messages.message(19, xid, part), rig.now)
        if session.reading is None:
            break
    given_up = session.reading is None
    assert given_up
    assert session.checked is not None and "longer than" in session.checked.failure


def test_changes_that_a_switch_never_confirms_do_not_pile_up() -> None:
    rig = Rig()
    switch = SilentSwitch(1)
    rig.connect(1, switch)
    switch.silent = True
    for number in range(5_000):
        made = replace(HOLD, id=f"d{number % 7}", number=number % 7 + 1)
        rig.carry_out(rig.core.decisions.command(Enforce(made), rig.now))
    session = rig.core.sessions[1]
    waiting, transactions = len(session.writer._sent), len(session.transactions._open)
    assert waiting <= 1_000 and transactions <= 1_100
    assert "confirm" in session.problem and not session.idle


def test_switches_that_come_and_go_under_new_ids_leave_nothing() -> None:
    core = Rig().core
    for number in range(1, 6_001):
        core.switch_up(number, ReportedPorts.of(PORTS), 1.0)
        core.admission.stand_by(core.sessions[number], "controller 000000000001", 1.0)
        for port in PORTS:
            core.port_changed(number, port, bytes(6), False, 1.0)
        core.switch_down(number, 1.0)
    network = core.network
    kept = (network._disconnected, network.hosts.down, network.hosts.left, core.sessions)
    assert [len(each) for each in kept] == [0, 0, 0, 0]
    assert len(core.admission._others) <= 4_096


def test_one_switch_cannot_fill_the_table_of_hosts() -> None:
    hosts = HostTable()
    found = 0
    for port in range(1, 600):
        for number in range(60):
            mac = f"02:00:00:{port >> 8:02x}:{port & 255:02x}:{number:02x}"
            ip = f"10.{port >> 8}.{port & 255}.{number + 1}"
            found += hosts.check_source(mac, ip, 1, port).learned is not None
    assert len(hosts.discovered) == found == 16_384
    assert hosts.check_source("02:aa:00:00:00:01", "10.9.9.9", 2, 1).learned is not None


def test_a_switch_that_reads_nothing_loses_its_connection() -> None:
    connection, block = Mock(), bytes(64 * 1024)
    outgoing = Outgoing(connection, Mock())
    for _ in range(6_000):
        outgoing.send(block)
        assert outgoing.waiting <= MOST_WAITING + len(block)
    assert connection.close.called and outgoing.waiting == 0


def removed(number: int) -> decode.FlowRemoved:
    fields = {"ip_proto": 17, "ip_src": number, "ip_dst": 1, "udp_src": 5, "udp_dst": 6}
    counted = cookie(Category.COUNT)
    return decode.FlowRemoved(17, 100, counted, 0, 1.0, 15, 1, 60, fields, ())


def test_counters_of_connections_that_nobody_began_are_bounded() -> None:
    tracker = FlowTracker()
    for number in range(60_000):
        tracker.ended(removed(number), 1, {}, 1.0)
    ending, forgotten = len(tracker.ending), tracker.forgotten
    assert ending <= 50_000 and forgotten == 10_000


def test_the_losses_of_meters_that_are_gone_are_added_up() -> None:
    loss = TelemetryLoss(Transactions())
    for number in range(1, 2_000):
        loss.ask()
        _, meters = loss.transactions._open
        entry = struct.pack("!IHxxxxxxIQQII", number, 56, 1, 1, 1, 1, 1) + struct.pack("!QQ", 3, 9)
        head = struct.pack("!HHxxxx", 9, 0)
        loss.take(meters, messages.message(19, meters, head + entry))
    assert loss.total == 3 * 1_999
    kept = len(loss.held_back)
    assert kept == 1


@contextmanager
def descriptors(most: int) -> Iterator[None]:
    """What processes that start meanwhile may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def many_connections(port: int, count: int) -> Iterator[None]:
    """From many addresses, none of which gets anywhere; for each that ends another one comes."""
    over = threading.Event()

    def connect() -> None:
        held: deque[socket.socket] = deque()
        for number in itertools.count():
            connection = socket.socket()
            connection.bind((f"127.0.{1 + number // 20 % 200}.1", 0))
            connection.settimeout(0.2)
            with suppress(OSError):
                connection.connect(("127.0.0.1", port))
            held.append(connection)
            if len(held) > count:
                held.popleft().close()
                over.wait(0.02)
            if over.is_set():
                break
        for connection in held:
            connection.close()

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.thorough
@pytest.mark.timeout(120)
def test_connections_never_take_the_last_descriptors(tmp_path: Path) -> None:
    options = ControllerOptions(POLICY, tmp_path / "state", free_port(), 0)
    controller = Controller(options, tmp_path)
    with ExitStack() as stack:
        stack.callback(controller.kill)
        with descriptors(160):
            controller.start()
        until(controller, 40, lambda: status(controller)["analysis"]["ready"])
        pid: int = status(controller)["analysis"]["pid"]
        stack.enter_context(many_connections(options.of_port, 200))
        time.sleep(4)
        os.kill(pid, signal.SIGKILL)
        until(controller, 20, lambda: restarted(controller))
        assert status(controller)["lost"]["connections_refused"] > 0
        assert "cannot be taken" not in controller.log


def restarted(controller: Controller) -> bool:
    answer: dict[str, Any] = status(controller)["analysis"]
    return bool(answer["restarts"] and answer["ready"])

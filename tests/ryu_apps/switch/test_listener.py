"""The OpenFlow listener of a real controller process: hostile input, many connections, TLS."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import pytest

from benchmarks.openflow_load import LoadSwitch, message
from mininet_tests.lab.controller import ROOT, free_port
from ryu_apps.runtime import controller
from ryu_apps.switch.listener import (
    GATHER,
    MAX_HANDSHAKES_PER_ADDRESS,
    MAX_MALFORMED,
    READ_BLOCK,
    Pace,
    Refused,
    SwitchConnection,
)
from tests.support.running_controller import POLICY, running, status, until

TYPES = range(30)


def waits(pace: Pace, start: float, every: float, size: int) -> list[float]:
    """What a connection waits that brings a block of ``size`` bytes each ``every`` seconds."""
    return [pace.after(size, start + number * every) for number in range(1, 400)]


def test_only_a_busy_connection_waits_for_more() -> None:
    pace = Pace(0.0)
    assert set(waits(pace, 0.0, 0.001, 300)) == {0.0}, "a thousand copies a second"
    busy = waits(pace, 1.0, 0.0002, 300)
    assert busy[0] == 0.0 and set(busy[-100:]) == {GATHER}, "five thousand"
    gathered = waits(pace, 2.0, 0.0012, 1800)
    assert set(gathered[-100:]) == {GATHER}, "as many, of which six have gathered each time"
    assert set(waits(pace, 3.0, 0.001, READ_BLOCK)) == {0.0}, "there is more to read already"
    assert waits(pace, 4.0, 0.001, 300)[-1] == 0.0


def test_a_switch_that_sends_much_is_not_taken_for_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers to echo requests wait behind everything else that it sends."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        theirs = socket.create_connection(door.getsockname())
        ours, _ = door.accept()
    brick = f"{controller.__name__.split('.')[0]}.base.app_manager.lookup_service_brick"
    monkeypatch.setattr(brick, lambda _: Mock())
    heard: list[str] = []

    def tap(*_: object) -> bool:
        heard.append("message")
        return True

    connection = SwitchConnection(
        ours, ("192.0.2.1", 1), tap, lambda: heard.append("pause"), lambda: None, Refused()
    )
    connection.unreplied_echo_requests += [1, 2]
    theirs.sendall(message(10, 1, bytes(100)) * 3)
    theirs.close()
    connection._recv_loop()
    assert connection.unreplied_echo_requests == []
    assert heard.count("message") == 3 and heard[-1] == "pause"


def memory(pid: int) -> int:
    """Resident KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no such process")


def hostile(chance: random.Random) -> bytes:
    """One connection's worth of something that is not quite OpenFlow."""
    kind = chance.choice(TYPES)
    body = chance.randbytes(chance.choice((0, 1, 7, 40, 400, 4000)))
    hello = message(0, 1, struct.pack("!HHI", 1, 8, 1 << 4))
    features = message(6, 2, struct.pack("!QIBB2xII", chance.choice((1, 7)), 0, 254, 0, 0x4F, 0))
    shapes = (
        lambda: chance.randbytes(2_000),
        lambda: hello + struct.pack("!BBHI", 4, kind, chance.randrange(8), 9),
        lambda: hello + struct.pack("!BBHI", 4, kind, 0xFFFF, 9) + body,
        lambda: hello + message(kind, 9, body) * 50,
        lambda: (
            hello
            + features
            + message(19, 3, struct.pack("!HH4x", 13, 0))
            + message(kind, 9, body) * 200
        ),
        lambda: message(kind, 9, body) + features + hello,
        lambda: struct.pack("!BBHI", chance.choice((0, 1, 5, 255)), 0, 8, 1) + hello,
        lambda: (
            hello
            + features
            + message(19, 3, struct.pack("!HH", 13, 0) + body)
            + message(10, 4, body)
        ),
    )
    return chance.choice(shapes)()


@pytest.mark.thorough
@pytest.mark.timeout(120)
def test_hostile_input_never_takes_the_controller_or_its_switches_away(tmp_path: Path) -> None:
    chance = random.Random(5)
    with running(tmp_path, switches=1) as controller:
        switch = LoadSwitch(("127.0.0.1", controller.options.of_port), dpid=42)
        switch.connect()
        switch.settle()
        before = memory(controller.pid)
        for _ in range(150):
            with socket.create_connection(("127.0.0.1", controller.options.of_port), 5) as door:
                try:
                    door.sendall(hostile(chance))
                    if chance.random() < 0.5:
                        door.shutdown(socket.SHUT_WR)
                    door.settimeout(0.02)
                    door.recv(4096)
                except OSError:
                    pass
            switch.wait(lambda: False, 0.02)
        found = status(controller)
        assert [each["switch"] for each in found["switches"] if each["phase"] == "ready"] == [42]
        assert found["lost"]["messages_not_understood"] > 10
        assert found["lost"]["faults"] == 0, controller.log[-3000:]
        assert "Traceback" not in controller.log, controller.log[-3000:]
        assert memory(controller.pid) - before < 60_000
        assert len(controller.log) < 400_000
        switch.close()


@pytest.mark.thorough
@pytest.mark.timeout(60)
def test_a_crowd_of_unfinished_handshakes_leaves_room_for_switches(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        address = ("127.0.0.1", controller.options.of_port)
        until(controller, 20, lambda: status(controller))
        switch = LoadSwitch(address, dpid=42)
        switch.connect()
        switch.settle()
        connections = [
            socket.create_connection(address, 5) for _ in range(3 * MAX_HANDSHAKES_PER_ADDRESS)
        ]
        until(controller, 5, lambda: status(controller)["lost"]["connections_refused"] > 0)
        assert [each["phase"] for each in status(controller)["switches"]] == ["ready"]
        until(controller, 20, lambda: "no OpenFlow handshake" in controller.log)
        for each in connections:
            each.close()
        late = LoadSwitch(address, dpid=43)

        def connects() -> bool:
            """As switches do: again after a moment when it did not work."""
            time.sleep(0.5)
            late.connect()
            late.settle()
            return {each["switch"] for each in status(controller)["switches"]} >= {43}

        until(controller, 20, connects)
        late.close()
        switch.close()


@pytest.mark.thorough
def test_a_switch_that_sends_only_nonsense_is_disconnected(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        address = ("127.0.0.1", controller.options.of_port)
        until(controller, 20, lambda: status(controller))
        switch = LoadSwitch(address, dpid=42)
        switch.connect()
        switch.settle()
        switch._out += message(12, 1, b"x") * MAX_MALFORMED
        with pytest.raises((ConnectionError, OSError)):
            switch.wait(lambda: False, 5)
        until(controller, 5, lambda: not status(controller)["switches"])


@pytest.mark.thorough
@pytest.mark.timeout(60)
def test_tls_needs_a_certificate_of_both_sides(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        done = subprocess.run(
            [sys.executable, "-m", "console", "certificates", str(tmp_path / name)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    ours, theirs, port = tmp_path / "ours", tmp_path / "theirs", free_port()
    words = ("--of-ssl-port", str(port), "--of-key", str(ours / "controller.key"))
    files = ("--of-cert", str(ours / "controller.crt"), "--of-ca", str(ours / "ca.crt"))
    with running(tmp_path, *words, *files) as controller:
        until(controller, 20, lambda: status(controller))

        def greeted(holder: Path | None) -> bool:
            """Whether the controller says hello to who holds these certificates."""
            context = ssl.create_default_context(cafile=str(ours / "ca.crt"))
            context.check_hostname = False
            if holder is not None:
                context.load_cert_chain(holder / "switch.crt", holder / "switch.key")
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as plain:
                    with context.wrap_socket(plain) as door:
                        return door.recv(8)[:2] == b"\x04\x00"
            except OSError:
                return False

        assert greeted(ours)
        assert not greeted(None)
        assert not greeted(theirs)
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            plain.sendall(message(0, 1))
            with suppress(ConnectionError):
                assert plain.recv(100)[:2] != b"\x04\x00"
        assert greeted(ours)
        assert status(controller)["lost"]["connections_refused"] == 3
        assert "Traceback" not in controller.log


def test_tls_files_belong_together(tmp_path: Path) -> None:
    for words in (
        ("--of-ssl-port", "6653"),
        ("--of-key", "x"),
        ("--of-ssl-port", "1", "--of-key", "x"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "console", "run", "--policy", str(POLICY), *words],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 2 and "belong together" in done.stderr

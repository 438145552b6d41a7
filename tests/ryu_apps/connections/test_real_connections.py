"""Who may speak for a datapath id: the connection that answers, and the certificate bound to it."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.openflow_load import LoadSwitch, message
from console.clients.controller import ask_controller
from mininet_tests.lab.controller import ROOT, Controller, free_port
from policies.compiler.switches_file import read_switches
from tests.support.running_controller import running, status, until

pytestmark = pytest.mark.threat("switch-identity")
KNOWN = 42


@contextmanager
def answering(switch: LoadSwitch) -> Iterator[None]:
    """Let a connected switch go on answering meanwhile."""
    done = threading.Event()

    def answer() -> None:
        while not done.is_set():
            switch.wait(lambda: False, 0.05)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def connect(controller: Controller) -> LoadSwitch:
    switch = LoadSwitch(("127.0.0.1", controller.options.of_port), dpid=KNOWN)
    switch.connect()
    return switch


def checked(controller: Controller) -> list[Any]:
    """The state of each switch by a comparison that it must answer."""
    answer = ask_controller(controller.options.state, {"do": "check"}, 20)
    return [(each["switch"], each["state"]) for each in answer["switches"]]


def over_tls(address: tuple[str, int], files: Path, switch: int) -> bytes:
    """Greet a controller as a switch; what it sends until it ends the connection, or is silent."""
    context = ssl.create_default_context(cafile=str(files / "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(files / "leaf1.crt", files / "leaf1.key")
    features = struct.pack("!QIBB2xII", switch, 0, 254, 0, 0x4F, 0)
    got = b""
    with socket.create_connection(address, 5) as plain, context.wrap_socket(plain) as door:
        door.settimeout(1.0)
        door.sendall(message(0, 1) + message(6, 2, features) + message(19, 3, b"\0\x0d" + bytes(6)))
        try:
            while part := door.recv(4096):
                got += part
        except OSError:
            pass
    return got


@pytest.mark.thorough
@pytest.mark.timeout(60)
def test_a_certificate_speaks_for_its_own_datapath_id_only(tmp_path: Path) -> None:
    files, port = tmp_path / "tls", free_port()
    words = [sys.executable, "-m", "console", "certificates", str(files), "--switch", "leaf1"]
    subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60, check=True)
    listed = tmp_path / "switches.yaml"
    listed.write_text("switches: {42: {certificate: leaf1}, 43: {certificate: leaf2}}\n")
    ours = ("--of-key", str(files / "controller.key"), "--of-cert", str(files / "controller.crt"))
    tls = ("--of-ssl-port", str(port), *ours, "--of-ca", str(files / "ca.crt"))
    with running(tmp_path, *tls, "--switches", str(listed)) as controller:
        until(controller, 20, lambda: status(controller))
        assert b"\x04\x12" in over_tls(("127.0.0.1", port), files, 42), "asked what it can do"
        for switch, why in ((43, "not of leaf2"), (44, "is not in the switches file")):
            over_tls(("127.0.0.1", port), files, switch)
            until(controller, 5, lambda why=why: why in controller.log)
        plain = connect(controller)
        with pytest.raises((ConnectionError, OSError)):
            plain.wait(lambda: False, 8)
        assert "it may connect only over TLS" in controller.log
        assert status(controller)["lost"]["connections_refused"] == 3


@pytest.mark.thorough
def test_a_second_connection_does_not_take_the_place_of_one_that_answers(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        until(controller, 20, lambda: status(controller))
        right = connect(controller)
        right.settle()
        with answering(right):
            wrong = connect(controller)
            with pytest.raises((ConnectionError, OSError)):
                wrong.wait(lambda: False, 8)
            wrong.close()
            assert checked(controller) == [(KNOWN, "right")]
            assert status(controller)["lost"]["connections_refused"] == 1
            assert f"switch {KNOWN}: a second connection" in controller.log
        right.close()


def test_a_datapath_id_is_bound_to_a_certificate(tmp_path: Path) -> None:
    file = tmp_path / "switches.yaml"
    file.write_text("switches: {1: {certificate: leaf1}, 2: {}}\n")
    assert "leaf1" in repr(read_switches(file).of(1))


def test_switches_in_the_clear_on_a_routable_address_are_warned_of(tmp_path: Path) -> None:
    policy, port = ROOT / "policies/examples/shop.yaml", free_port()
    words = ["run", "--policy", str(policy), "--state", str(tmp_path / "s"), "--analysis", "none"]
    command = [sys.executable, "-m", "console", *words, "--of-host", "0.0.0.0"]
    with subprocess.Popen(
        [*command, "--of-port", str(port)], stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        impatient = threading.Timer(20, process.terminate)
        impatient.start()
        try:
            assert any("in the clear" in line for line in process.stderr)
        finally:
            impatient.cancel()
            process.terminate()

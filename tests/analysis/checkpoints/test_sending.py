"""Checkpoints are sent as they are made, to a syslog or a command, and nothing waits for either."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.checkpoints import sending
from analysis.checkpoints.sending import CheckpointSender
from analysis.checkpoints.targets import read_target
from console.cli import run
from response.audit import checkpoints
from response.audit.chain import AuditHead
from response.audit.checkpoints import Checkpoint
from response.audit.signing import Signer
from response.ipc.messages import Ready
from response.state.interfaces import CHECKPOINTS_SENT
from response.state.store import Store
from tests.support.controller_end import HOST, POLICY, ControllerEnd

pytestmark = pytest.mark.threat("audit-anchor")


def checkpoint(number: int) -> Checkpoint:
    return checkpoints.made(Signer(bytes(32)), number, 5.25, "ab", AuditHead(number, "cd"))


class SendingDesk:
    """A sender with what it noted and logged."""

    def __init__(self, *targets: str) -> None:
        self.noted: list[dict[str, dict[str, object]]] = []
        self.logged: list[str] = []
        self.sender = CheckpointSender(targets, self.noted.append, self.logged.append)

    def until(self, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Tick until the counts of the one target are so, and return them."""
        end = time.monotonic() + 10
        while True:
            (counts,) = self.noted[-1].values()
            if done(counts):
                return counts
            assert time.monotonic() < end, counts
            time.sleep(0.01)
            self.sender.tick()


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return str(path)


def test_a_syslog_gets_each_as_a_line_that_verify_reads(tmp_path: Path) -> None:
    place = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(place))
        desk = SendingDesk(f"syslog:{place}")
        for number in (1, 2):
            desk.sender.send(checkpoint(number))
        lines = [log.recv(4096).decode() for _ in range(2)]
    (counts,) = desk.noted[-1].values()
    assert counts == {"sent": 2, "failed": 0, "number": 2, "problem": None}
    head = r"<109>1 1970-01-01T00:00:05\.250Z \S+ septum \d+ checkpoint - \{"
    assert all(re.match(head, each) for each in lines)
    (tmp_path / "file").write_text("\n".join(lines))
    assert checkpoints.read_log(tmp_path / "file", "ab") == (checkpoint(1), checkpoint(2))


@pytest.mark.parametrize(
    ("family", "address", "name"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_over_udp(family: socket.AddressFamily, address: str, name: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as log:
        log.bind((address, 0))
        desk = SendingDesk(f"syslog:{name}:{log.getsockname()[1]}")
        desk.sender.send(checkpoint(1))
        assert checkpoints.line(checkpoint(1)) in log.recv(4096).decode()


def test_a_syslog_that_is_away_gets_the_newest_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AGAIN_AFTER", 0.05)
    place = tmp_path / "log"
    desk = SendingDesk(f"syslog:{place}")
    for number in (1, 2, 3):
        desk.sender.send(checkpoint(number))
    counts = desk.until(lambda counts: counts["failed"] > 3)
    assert counts["sent"] == 0 and counts["problem"] == "No such file or directory"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(place))
        assert desk.until(lambda counts: counts["sent"] == 1)["number"] == 3
        assert checkpoints.line(checkpoint(3)) in log.recv(4096).decode()
    assert [line.partition(" are ")[2] for line in desk.logged] == [
        "not sent: No such file or directory", "sent again",
    ]  # fmt: skip


def test_a_command_gets_the_newest_one_at_a_time(tmp_path: Path) -> None:
    out, gate = tmp_path / "out", tmp_path / "gate"
    body = f'while [ ! -e {gate} ]; do sleep .02; done; cat >> {out}; echo "$1" >> {out}'
    desk = SendingDesk(f"exec:{script(tmp_path / 'keep', body)} 'a b'")
    for number in (1, 2, 3):
        desk.sender.send(checkpoint(number))
    gate.touch()
    assert desk.until(lambda counts: counts["sent"] == 2)["number"] == 3
    lines = out.read_text().splitlines()
    assert [checkpoints.read(each) for each in lines[::2]] == [checkpoint(1), checkpoint(3)]
    assert lines[1::2] == ["a b"] * 2


@pytest.mark.parametrize(
    ("body", "problem"),
    [("exit 3", "its exit code is 3"), ("sleep 60 & wait", "it took more than 0.2 s")],
)
def test_a_command_that_fails_or_hangs_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problem: str
) -> None:
    monkeypatch.setattr(sending, "COMMAND_LIMIT", 0.2)
    desk = SendingDesk(f"exec:{script(tmp_path / 'bad', body)}")
    desk.sender.send(checkpoint(1))
    (begun,) = desk.noted[-1].values()
    assert begun["failed"] == 0, "nobody waits for it"
    counts = desk.until(lambda counts: counts["failed"] == 1)
    assert (counts["sent"], counts["problem"]) == (0, problem)
    desk.sender.close()


def test_the_last_one_is_waited_for_and_what_fails_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AT_THE_END", 20.0)
    out = tmp_path / "out"
    body = f'sleep .2; read line; echo "$line" >> {out}; exit 1'
    desk = SendingDesk(f"exec:{script(tmp_path / 'slow', body)}")
    desk.sender.send(checkpoint(1))
    desk.sender.send(checkpoint(2))
    begun = time.monotonic()
    desk.sender.close()
    assert out.read_text().count("\n") == 2, "the newest is tried though the one before failed"
    assert time.monotonic() - begun < sending.AT_THE_END
    (counts,) = desk.noted[-1].values()
    assert counts["failed"] == 2


def test_a_command_that_is_gone_is_counted(tmp_path: Path) -> None:
    desk = SendingDesk(f"exec:{tmp_path}/nowhere")
    desk.sender.send(checkpoint(1))
    assert desk.until(lambda counts: counts["failed"] == 1)["problem"] == (
        "No such file or directory"
    )


@pytest.mark.parametrize(
    "text",
    ["", "syslog", "syslog:", "syslog:logs.example:514", "syslog:192.0.2.1", "syslog:192.0.2.1:0",
     "syslog:192.0.2.1:70000", "exec:", "exec:keep", "exec:/bin/sh 'x", "http://192.0.2.1"],
)  # fmt: skip
def test_what_is_no_target_is_refused_before_anything_starts(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="."):
        read_target(text)
    state = tmp_path / "state"
    assert run(["run", "--policy", "p.yaml", "--state", str(state), "--checkpoint-to", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--checkpoint-to" in line
    assert not state.exists()


def test_the_process_sends_what_a_witness_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, state, log = tmp_path / "policy.yaml", tmp_path / "state", tmp_path / "kept"
    policy.write_text(POLICY % HOST.format(n=1))
    target = f"exec:{script(tmp_path / 'keep', f'cat >> {log}')}"
    code = (
        f"import sys; sys.argv += ['--checkpoint-to', {target!r}]\n"
        "from analysis.process import main; sys.exit(main())"
    )
    controller = ControllerEnd(state, policy, code)
    assert isinstance(controller.hear(), Ready)
    assert controller.end() == 0
    store = Store.open(state, time.time())
    sent = store.meta(CHECKPOINTS_SENT)
    store.close()
    assert sent is not None and '"failed": 0' in sent
    assert run(["audit", "verify", "--state", str(state), "--witness", str(log)]) == 0
    assert "witnessed up to entry" in capsys.readouterr().out

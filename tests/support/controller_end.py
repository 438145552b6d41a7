"""The analysis process from its controller's end, and traffic that leads to a decision."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from response.ipc.framing import AnyMessage, Decoder, encode
from response.ipc.messages import Alive
from topology.records import FlowRecord

ROOT = Path(__file__).parents[2]

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: small}
hosts:
%s
segments:
  office:
    members: [{labels: {role: desk}}]
    mode: enforce
    adapt: auto
intents:
  - {name: all, from: office, to: office, services: [tcp], action: allow}
defaults: {action: deny, mode: enforce}
adaptive: {actions: [alert, quarantine], max_hosts: 2, max_share: 0.5, ttl: 15m}
"""
HOST = (
    '  h{n}: {{mac: "00:00:00:00:00:{n:02x}", ip: [10.0.0.{n}], switch: 1, port: {n}, '
    "labels: {{role: desk}}}}"
)


RUN = "import sys; from analysis.process import main; sys.exit(main())"


class ControllerEnd:
    """The controller's end: sends messages, hears what comes back."""

    def __init__(self, state: Path, policy: Path, code: str = RUN) -> None:
        self.state, self.policy = state, policy
        self.link, theirs = socket.socketpair()
        self.link.settimeout(20)
        self.decoder = Decoder()
        self.heard: list[AnyMessage] = []
        arguments = ["--state", str(state), "--policy", str(policy)]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code,
                 "--socket-fd", str(theirs.fileno()), *arguments],
                cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

    def tell(self, message: AnyMessage) -> None:
        self.link.sendall(encode(message))

    def hear(self) -> AnyMessage:
        """The next message that is no sign of life."""
        while not self.heard:
            data = self.link.recv(65536)
            assert data, self.process.stderr and self.process.stderr.read()
            self.heard += [e for e in self.decoder.feed(data) if not isinstance(e, Alive)]
        return self.heard.pop(0)

    def end(self) -> int:
        self.link.close()
        return self.process.wait(20)


def connection(ts: float, src: int, dst: int, port: int, denied: bool = False) -> FlowRecord:
    return FlowRecord(
        ts, f"10.0.0.{src}", f"10.0.0.{dst}", "tcp", 40000 + dst, port, phase="start",
        state="denied" if denied else None, verdict="deny" if denied else "allow", switch=1,
    )  # fmt: skip


def a_quiet_day_and_a_sweep(now: float) -> tuple[FlowRecord, ...]:
    """Everybody asks host 1's web server; then host 7 knocks on everybody's ssh port."""
    quiet = [connection(now - 600 + n, 2 + n % 39, 1, 443) for n in range(500)]
    sweep = [connection(now - 20 + n * 0.2, 7, n, 22, denied=n % 2 == 0) for n in range(8, 41)]
    return (*quiet, *sweep)

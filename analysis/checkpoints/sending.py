"""Checkpoints of the audit leave the machine as they are made, so that a record which is set back
or written anew differs from what stands elsewhere.

Nothing here waits: a datagram is sent or counts as failed, a command runs beside. Only the newest
checkpoint is worth sending, as it covers all before it: one that failed is tried again until then.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from analysis.checkpoints.targets import CommandTarget, SyslogTarget, read_target
from response.audit import checkpoints
from response.audit.checkpoints import Checkpoint

COMMAND_LIMIT = 10.0  # seconds that a command may run
AGAIN_AFTER = 10.0  # seconds after a failure
AT_THE_END = 2.0  # seconds that the last one is waited for
PRIORITY = 13 * 8 + 5  # RFC 5424: facility log audit, severity notice


@dataclass(slots=True)
class SentCounts:
    """Since the start; ``number`` is that of the last checkpoint that was sent, ``problem`` why
    the last attempt failed, None where it did not."""

    sent: int = 0
    failed: int = 0
    number: int = 0
    problem: str | None = None


class CheckpointRoute:
    """The way to one target; see `CheckpointSender`. Times are on the monotonic clock."""

    def __init__(self, target: SyslogTarget | CommandTarget) -> None:
        self.target = target
        self.counts = SentCounts()
        self._pending: Checkpoint | None = None
        self._again_at = 0.0
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._carried: Checkpoint | None = None  # what the process was given
        self._kill_at = 0.0

    def busy(self, now: float) -> bool:
        """Whether something is under way, or due now."""
        due = self._pending is not None and now >= self._again_at
        return self._process is not None or due

    def put(self, checkpoint: Checkpoint) -> None:
        """Send this one, instead of any that still waits."""
        self._pending, self._again_at = checkpoint, 0.0

    def tick(self, now: float) -> bool:
        """Do what is due; whether something was sent or failed."""
        done = self._process is not None and self._look_after(self._process, now)
        if self._process is not None or self._pending is None or now < self._again_at:
            return done
        checkpoint, self._pending = self._pending, None
        try:
            if isinstance(self.target, CommandTarget):
                self._start(self.target, checkpoint, now)
                return done
            self._send_datagram(self.target, checkpoint)
        except OSError as problem:
            self._fail(checkpoint, problem.strerror or type(problem).__name__, now)
        else:
            self._succeed(checkpoint)
        return True

    def close(self) -> None:
        """End a command that is still running."""
        if self._process is not None:
            self._kill(self._process)
            self._process.wait()
        if self._socket is not None:
            self._socket.close()

    def _send_datagram(self, target: SyslogTarget, checkpoint: Checkpoint) -> None:
        try:
            if self._socket is None:
                self._socket = socket.socket(target.family, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
                self._socket.connect(target.address)
            self._socket.send(syslog_line(checkpoint).encode())
        except OSError:
            if self._socket is not None:
                self._socket.close()
            self._socket = None
            raise

    def _start(self, target: CommandTarget, checkpoint: Checkpoint, now: float) -> None:
        process = subprocess.Popen(
            target.arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._process, self._carried, self._kill_at = process, checkpoint, now + COMMAND_LIMIT
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as file:  # its exit code says what it thinks
            file.write(checkpoints.line(checkpoint).encode() + b"\n")  # a pipe holds that much

    def _look_after(self, process: subprocess.Popen[bytes], now: float) -> bool:
        code = process.poll()
        if code is None and now < self._kill_at:
            return False
        if code is None:
            self._kill(process)
            process.wait()
        checkpoint, self._process, self._carried = self._carried, None, None
        assert checkpoint is not None
        if code == 0:
            self._succeed(checkpoint)
        else:
            took = f"it took more than {COMMAND_LIMIT:g} s"
            self._fail(checkpoint, took if code is None else f"its exit code is {code}", now)
        return True

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def _succeed(self, checkpoint: Checkpoint) -> None:
        self.counts.sent += 1
        self.counts.number, self.counts.problem = checkpoint.number, None

    def _fail(self, checkpoint: Checkpoint, problem: str, now: float) -> None:
        self.counts.failed += 1
        self.counts.problem = problem
        if self._pending is None:  # a newer one is not held back
            self._pending, self._again_at = checkpoint, now + AGAIN_AFTER


class CheckpointSender:
    """Sends every new checkpoint to all targets.

    ``note`` takes the counts by target's name, at the start and whenever they change; ``log`` takes
    a line when a target begins to fail, or takes checkpoints again.
    """

    def __init__(
        self,
        targets: Sequence[str],
        note: Callable[[dict[str, dict[str, object]]], None],
        log: Callable[[str], None],
    ) -> None:
        """Raises ValueError for what is no target."""
        self._routes = [CheckpointRoute(read_target(each)) for each in dict.fromkeys(targets)]
        self._note, self._log = note, log
        note(self._counts())

    def send(self, checkpoint: Checkpoint) -> None:
        for route in self._routes:
            route.put(checkpoint)
        self.tick()

    def tick(self) -> None:
        changed = False
        for route in self._routes:
            before = route.counts.problem
            if route.tick(time.monotonic()):
                changed = True
                after = route.counts.problem
                if after != before:
                    what = "are sent again" if after is None else f"are not sent: {after}"
                    self._log(f"checkpoints to {route.target.name} {what}")
        if changed:
            self._note(self._counts())

    def close(self) -> None:
        """Wait a little for the last checkpoint."""
        until = time.monotonic() + AT_THE_END
        while (now := time.monotonic()) < until and any(each.busy(now) for each in self._routes):
            time.sleep(0.02)
            self.tick()
        for route in self._routes:
            route.close()

    def _counts(self) -> dict[str, dict[str, object]]:
        return {each.target.name: asdict(each.counts) for each in self._routes}


def syslog_line(checkpoint: Checkpoint) -> str:
    """An RFC 5424 message."""
    when = datetime.fromtimestamp(checkpoint.ts, UTC).isoformat(timespec="milliseconds")
    head = f"<{PRIORITY}>1 {when.replace('+00:00', 'Z')} {socket.gethostname() or '-'}"
    return f"{head} septum {os.getpid()} checkpoint - {checkpoints.line(checkpoint)}"

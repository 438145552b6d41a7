"""Run a command with Open vSwitch up, and leave the machine as it was found.

``with_ovs.py COMMAND [ARG...]`` starts ovsdb-server and ovs-vswitchd only when they are not
running, and stops them afterwards only when it was this script that started them and no other
command started through it still runs. Exits with the command's status.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

OVS_CTL = "/usr/share/openvswitch/scripts/ovs-ctl"
STATE = Path(os.environ.get("SEPTUM_OVS_STATE", "/run/septum-ovs"))


class OvsError(Exception):
    """One line: what is wrong and what to do."""


def ovs_ctl(*args: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [OVS_CTL, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            start_new_session=True,  # the daemons must not get the terminal's Ctrl-C
        )
    except FileNotFoundError:
        raise OvsError("Open vSwitch is not installed: run `make setup`") from None
    except subprocess.TimeoutExpired:
        raise OvsError(f"`{OVS_CTL} {' '.join(args)}` did not end within 60 s") from None


def running() -> bool:
    return ovs_ctl("status").returncode == 0


@contextmanager
def locked() -> Iterator[None]:
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(STATE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def other_users() -> bool:
    """Whether another command started here still runs; forgets those that were killed."""
    alive = False
    for entry in STATE.glob("user-*"):
        pid = int(entry.name.removeprefix("user-"))
        if pid == os.getpid():
            continue
        if Path(f"/proc/{pid}").exists():
            alive = True
        else:
            entry.unlink(missing_ok=True)
    return alive


def acquire() -> None:
    with locked():
        (STATE / f"user-{os.getpid()}").touch()
        if running():
            return
        (STATE / "started").touch()
        started = ovs_ctl("start", "--system-id=random")
        if not running():
            lines = [line for line in started.stdout.splitlines() if "ulimit" not in line]
            reason = lines[-1].strip() if lines else f"exit status {started.returncode}"
            raise OvsError(f"cannot start Open vSwitch: {reason} (see /var/log/openvswitch)")


def release() -> None:
    with locked():
        (STATE / f"user-{os.getpid()}").unlink(missing_ok=True)
        if (STATE / "started").exists() and not other_users():
            ovs_ctl("stop")
            (STATE / "started").unlink()


def run(command: list[str]) -> int:
    """The command's exit status; a signal sent to this process alone reaches the command too."""
    child: subprocess.Popen[bytes] | None = None
    stopped_by: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        stopped_by.append(number)
        if child is not None and child.poll() is None:
            child.send_signal(number)

    # Ctrl-C reaches the whole foreground group: the command hears it by itself, we outlive it.
    signal.signal(signal.SIGINT, lambda number, _frame: stopped_by.append(number))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    try:
        acquire()
        if stopped_by:
            return 128 + stopped_by[0]
        child = subprocess.Popen(command)
        status = child.wait()
        return status if status >= 0 else 128 - status
    except FileNotFoundError:
        raise OvsError(f"no such command: {command[0]}") from None
    finally:
        release()


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: with_ovs.py COMMAND [ARG...]", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print(
            "septum: real switches need root: run this as root (`make test FAST=1` does not)",
            file=sys.stderr,
        )
        return 2
    try:
        return run(sys.argv[1:])
    except OvsError as error:
        print(f"septum: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

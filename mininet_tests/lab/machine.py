"""Requirements of a lab on its machine: root, programs, Open vSwitch, a datapath."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mininet_tests.lab.plan import LabError

START_VSWITCH = "/usr/share/openvswitch/scripts/ovs-ctl start --system-id=random"
SYSTEM_FOLDERS = "/usr/sbin:/sbin"  # not in every user's PATH


def require_root() -> None:
    if os.geteuid() != 0:
        raise LabError(
            "the lab makes network namespaces and switches and needs root: run it with sudo"
        )


def require_programs(names: Sequence[str]) -> None:
    missing = [name for name in names if find_program(name) is None]
    if missing:
        raise LabError(
            f"missing on this machine: {', '.join(missing)} (`make setup` installs them)"
        )


def find_program(name: str) -> str | None:
    """Where a program is, also if this user's PATH leaves out the system's own folders."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")


def require_vswitch() -> None:
    problem = f"Open vSwitch does not answer: start it with `{START_VSWITCH}`"
    try:
        for target in ("ovsdb-server", "ovs-vswitchd"):
            said(["ovs-appctl", "--timeout=3", "-t", target, "version"], timeout=5)
    except LabError as error:
        raise LabError(problem) from error


def kernel_datapath() -> bool:
    """Whether the kernel has Open vSwitch's datapath; loads the module where it can."""
    if Path("/sys/module/openvswitch").exists():
        return True
    if shutil.which("modprobe", path=SYSTEM_FOLDERS) is None:
        return False
    argv = ["/usr/sbin/modprobe", "-q", "openvswitch"]
    return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0


def vsctl(*words: str) -> str:
    return said(["ovs-vsctl", "--timeout=10", *words], timeout=15)


def said(argv: Sequence[str], timeout: float) -> str:
    """What a program printed; `LabError` with its complaint if it failed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{argv[0]} did not answer within {timeout:g} s") from error
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise LabError(f"{argv[0]}: {complaint}")
    return done.stdout

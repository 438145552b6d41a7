"""Names that a lab may use, and the removal of what a killed lab left behind.

Every bridge, interface and directory of a lab carries its tag. A live lab holds
a lock on its tag's file, and the kernel drops the lock when the process dies
however it dies: a tag whose lock is free belongs to nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

LOCKS = Path("/run/septum-lab")
PREFIX = "spt"
_TAGGED = re.compile(rf"^(?:septum-lab-)?{PREFIX}([0-9a-z]{{4}})(?:s\d+(?:p\d+)?)?$")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def bridge_name(tag: str, number: int) -> str:
    return f"{PREFIX}{tag}s{number}"


def port_name(tag: str, number: int, port: int) -> str:
    """At most 15 characters, the kernel's limit, for 99 switches of 9,999 ports."""
    return f"{PREFIX}{tag}s{number}p{port}"


def run_directory(tag: str) -> Path:
    return Path(tempfile.gettempdir()) / f"septum-lab-{PREFIX}{tag}"


def tag_of(name: str) -> str | None:
    """The tag in a name made by `bridge_name`, `port_name` or `run_directory`.

    >>> tag_of("sptab12s3p101"), tag_of("eth0"), tag_of("spt-mine")
    ('ab12', None, None)
    """
    match = _TAGGED.match(name)
    return match[1] if match else None


class Tag:
    """A tag of our own, held until `release`."""

    def __init__(self) -> None:
        while True:
            self.text = "".join(secrets.choice(_ALPHABET) for _ in range(4))
            handle = _lock(self.text)
            if handle is not None:
                self._handle = handle
                return

    def release(self) -> None:
        _unlock(self.text, self._handle)


def remove_leftovers() -> list[str]:
    """Remove what dead labs left on this machine; the names of what went."""
    bridges = _run("ovs-vsctl", "--timeout=5", "list-br").split()
    interfaces = [path.name for path in Path("/sys/class/net").iterdir()]
    directories = [path.name for path in run_directory("").parent.glob(f"septum-lab-{PREFIX}*")]
    locks = [bridge_name(path.name, 0) for path in LOCKS.glob("????")] if LOCKS.is_dir() else []
    tags = {tag for name in (*bridges, *interfaces, *directories, *locks) if (tag := tag_of(name))}
    gone: list[str] = []
    for tag in sorted(tags):
        handle = _lock(tag)
        if handle is None:
            continue
        gone += remove_tagged(tag, bridges, interfaces)
        _unlock(tag, handle)
    return gone


def remove_tagged(tag: str, bridges: Iterable[str], interfaces: Iterable[str]) -> list[str]:
    """Remove the bridges and interfaces among those given, and the directory, of one tag."""
    doomed = [name for name in bridges if tag_of(name) == tag]
    if doomed:
        words = " -- ".join(f"--if-exists del-br {name}" for name in doomed).split()
        _run("ovs-vsctl", "--timeout=20", *words)
    for name in interfaces:
        if tag_of(name) == tag and Path("/sys/class/net", name).exists():
            _run("ip", "link", "del", name)
            doomed.append(name)
    directory = run_directory(tag)
    if directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        doomed.append(str(directory))
    return doomed


def _lock(tag: str) -> int | None:
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(LOCKS / tag, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _unlock(tag: str, handle: int) -> None:
    (LOCKS / tag).unlink(missing_ok=True)
    os.close(handle)
    with contextlib.suppress(OSError):  # other labs have their locks there
        LOCKS.rmdir()


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout

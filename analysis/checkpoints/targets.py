"""Where checkpoints are sent, as `septum run --checkpoint-to` names it."""

from __future__ import annotations

import os
import shlex
import socket
from dataclasses import dataclass
from ipaddress import ip_address

HELP = "syslog:/dev/log, syslog:ADDRESS:PORT (UDP), or exec:/PROGRAM ARGUMENT…"


@dataclass(frozen=True, slots=True)
class SyslogTarget:
    """A datagram socket: a path, or a numeric address with a port, so that no name is looked up."""

    name: str
    family: socket.AddressFamily
    address: str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program with its arguments; no shell is involved."""

    name: str
    arguments: tuple[str, ...]


Target = SyslogTarget | CommandTarget


def read_target(text: str) -> Target:
    """Raises ValueError, in one line, for what is no target."""
    kind, _, rest = text.partition(":")
    if kind == "exec":
        return CommandTarget(text, _arguments(text, rest))
    if kind != "syslog":
        raise ValueError(f"{text}: write {HELP}")
    if rest.startswith("/"):
        return SyslogTarget(text, socket.AF_UNIX, rest)
    host, _, port = rest.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
        if not 0 < number < 65_536:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{text}: a path, or a numeric address and a port: syslog:192.0.2.1:514"
        ) from None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return SyslogTarget(text, family, (str(address), number))


def _arguments(text: str, rest: str) -> tuple[str, ...]:
    try:
        arguments = tuple(shlex.split(rest))
    except ValueError as problem:
        raise ValueError(f"{text}: {problem}") from None
    if not arguments or not os.path.isabs(arguments[0]):
        raise ValueError(f"{text}: name the program by its whole path: exec:/usr/bin/…")
    return arguments

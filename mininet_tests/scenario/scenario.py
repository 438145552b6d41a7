"""A day in a lab network as data: who serves what, who asks whom, what the attacker does.

The file form is shown by ``scenarios/demo.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

from mininet_tests.lab.plan import LabError, links_from
from topology.records import Link

ASKS = ("http", "redis", "dns", "rsync", "ssh")
SCENARIOS = Path(__file__).parents[1] / "scenarios"


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A server program on a host."""

    host: str
    program: str
    port: int


@dataclass(frozen=True, slots=True)
class SshKey:
    """An ssh key: who holds the private half, whose accounts it opens."""

    name: str
    held_by: tuple[str, ...]
    opens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of benign request; exactly one of ``every`` and ``round`` is set (seconds)."""

    name: str
    ask: str
    port: int
    clients: tuple[str, ...]
    servers: tuple[str, ...]
    every: float | None = None
    round: float | None = None
    gap: float = 0.5
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Attack:
    """``ports`` are swept on every other host and on the addresses ``unused``, in at most
    ``seconds``; then hops by ssh to ``hop_to`` with ``hop_key``, and from there onwards to
    ``onward_to`` to read the file ``reads``.
    """

    host: str
    ports: tuple[int, ...]
    unused: tuple[str, ...]
    seconds: float
    hop_to: tuple[str, ...]
    hop_key: str
    onward_to: tuple[str, ...]
    onward_key: str
    reads: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """``before``, ``after`` and ``benign_only`` are seconds of benign traffic."""

    name: str
    policy: Path
    links: tuple[Link, ...] | None
    services: tuple[ServerProgram, ...]
    keys: tuple[SshKey, ...]
    benign: tuple[Pattern, ...]
    attack: Attack | None
    before: float
    after: float
    benign_only: float

    def names(self) -> set[str]:
        """Every host that the scenario speaks of."""
        found = {service.host for service in self.services}
        for pattern in self.benign:
            found |= {*pattern.clients, *pattern.servers}
        for key in self.keys:
            found |= {*key.held_by, *key.opens}
        if self.attack is not None:
            found |= {self.attack.host, *self.attack.hop_to, *self.attack.onward_to}
        return found


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file, its policy path taken relative to it; `LabError` if it is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise LabError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping) or document.get("kind") != "LabScenario":
        raise LabError(f"{path}: not a scenario: expected `kind: LabScenario`")
    try:
        return _scenario(document, path)
    except KeyError as error:
        raise LabError(f"{path}: {error.args[0]} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise LabError(f"{path}: {error}") from error


def _scenario(document: Mapping[str, Any], path: Path) -> Scenario:
    where = str(path)
    phases = document["phases"]
    links = document.get("links")
    attack = document.get("attack")
    return Scenario(
        name=str(document["name"]),
        policy=path.parent / str(document["policy"]),
        links=None if links is None else links_from(links, where),
        services=tuple(_services(document["servers"], where)),
        keys=tuple(
            SshKey(str(name), tuple(entry["held_by"]), tuple(entry["opens"]))
            for name, entry in (document.get("keys") or {}).items()
        ),
        benign=tuple(_pattern(entry, where) for entry in document["benign"]),
        attack=None if attack is None else _attack(attack),
        before=float(phases["before"]),
        after=float(phases["after"]),
        benign_only=float(phases["benign_only"]),
    )


def _services(entries: Mapping[str, Any], where: str) -> list[ServerProgram]:
    found = []
    for name, hosts in entries.items():
        program, _, port = str(name).partition("/")
        if program not in ASKS or not port.isdigit():
            raise LabError(
                f"{where}: server {name!r}: expected PROGRAM/PORT with {', '.join(ASKS)}"
            )
        found += [ServerProgram(str(host), program, int(port)) for host in hosts]
    return found


def _pattern(entry: Mapping[str, Any], where: str) -> Pattern:
    pattern = Pattern(
        name=str(entry["name"]),
        ask=str(entry["ask"]),
        port=int(entry["port"]),
        clients=tuple(entry["from"]),
        servers=tuple(entry["to"]),
        every=None if "every" not in entry else float(entry["every"]),
        round=None if "round" not in entry else float(entry["round"]),
        gap=float(entry.get("gap", 0.5)),
        key=entry.get("key"),
    )
    if pattern.ask not in ASKS:
        raise LabError(f"{where}: {pattern.name}: ask is one of {', '.join(ASKS)}")
    if (pattern.every is None) == (pattern.round is None):
        raise LabError(f"{where}: {pattern.name}: give either `every` or `round`")
    return pattern


def _attack(entry: Mapping[str, Any]) -> Attack:
    sweep, hop, onward = entry["sweep"], entry["hop"], entry["onward"]
    return Attack(
        host=str(entry["from"]),
        ports=tuple(int(port) for port in sweep["ports"]),
        unused=tuple(str(address) for address in ip_network(str(sweep["unused"])).hosts()),
        seconds=float(sweep["seconds"]),
        hop_to=tuple(hop["to"]),
        hop_key=str(hop["key"]),
        onward_to=tuple(onward["to"]),
        onward_key=str(onward["key"]),
        reads=str(onward["reads"]),
    )

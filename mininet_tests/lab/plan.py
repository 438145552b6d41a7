"""What a lab network consists of, read from a topology file or from a policy's hosts.

A topology file is YAML::

    kind: LabTopology
    hosts:
      h1: {mac: "00:00:00:00:00:01", ip: [10.0.0.1, "fd00::1"], switch: 1, port: 1}
    links:
      - {switch: 1, port: 11, peer_switch: 2, peer_port: 11}
    switches: [1, 2]                 # optional: switches that no host or link names
    prefix: {ipv4: 16, ipv6: 64}     # optional
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml

from policies.model import Policy
from topology.records import Link

FIRST_LINK_PORT = 101  # where cables go that nobody gave a port number


class LabError(Exception):
    """Something that stops a lab run; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class LabHost:
    """One host on one switch port; ``ips`` in canonical text, IPv4 before IPv6."""

    name: str
    mac: str
    ips: tuple[str, ...]
    switch: int
    port: int

    @property
    def ipv4(self) -> str | None:
        return next((ip for ip in self.ips if ":" not in ip), None)

    @property
    def ipv6(self) -> str | None:
        return next((ip for ip in self.ips if ":" in ip), None)


@dataclass(frozen=True, slots=True)
class LabPlan:
    """A whole network: switches by datapath id, hosts by name, cables (one `Link` each)."""

    switches: tuple[int, ...]
    hosts: tuple[LabHost, ...]
    links: tuple[Link, ...] = ()
    prefix4: int = 16
    prefix6: int = 64

    def host(self, name: str) -> LabHost:
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"no host named {name} in this lab; it has {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(host.name for host in self.hosts)

    def owner(self, ip: str) -> str | None:
        return next((host.name for host in self.hosts if ip in host.ips), None)


def plan_from_policy(policy: Policy, links: Sequence[Link] | None = None) -> LabPlan:
    """The network a policy's inventory describes.

    Hosts without a MAC, an address, a switch or a port stay out: there is
    nothing to plug in. Without ``links`` the switches form a line in the order
    of their datapath ids.
    """
    hosts = tuple(
        LabHost(h.name, h.mac, tuple(map(str, h.ips)), h.switch, h.port)
        for h in policy.hosts
        if h.mac is not None and h.ips and h.switch is not None and h.port is not None
    )
    if not hosts:
        raise LabError(
            "the policy declares no host with mac, ip, switch and port: nothing to build"
        )
    dpids = sorted({host.switch for host in hosts} | {s for k in links or () for s in _ends(k)})
    cables = tuple(links) if links is not None else line(dpids)
    return checked(_with_prefixes(LabPlan(tuple(dpids), hosts, cables)), "policy")


def line(dpids: Sequence[int]) -> tuple[Link, ...]:
    """Cables that join the switches one after the other, on ports from `FIRST_LINK_PORT`."""
    pairs = zip(dpids, dpids[1:], strict=False)
    return tuple(Link(a, FIRST_LINK_PORT + 1, b, FIRST_LINK_PORT) for a, b in pairs)


def read_topology(path: Path) -> LabPlan:
    """The plan in a topology file; `LabError` says what is wrong and where."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise LabError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    return topology_from(document, str(path))


def topology_from(document: object, where: str) -> LabPlan:
    """A plan from the plain values of a topology file."""
    if not isinstance(document, Mapping) or document.get("kind") != "LabTopology":
        raise LabError(f"{where}: not a topology file: expected `kind: LabTopology`")
    unknown = set(document) - {"apiVersion", "kind", "switches", "hosts", "links", "prefix", "name"}
    if unknown:
        raise LabError(f"{where}: unknown key {sorted(map(str, unknown))[0]!r}")
    hosts = tuple(
        _host(name, entry, where) for name, entry in (document.get("hosts") or {}).items()
    )
    links = links_from(document.get("links") or [], where)
    dpids = {_number(d, f"{where}: switches") for d in document.get("switches") or ()}
    dpids |= {host.switch for host in hosts} | {s for link in links for s in _ends(link)}
    if not dpids:
        raise LabError(f"{where}: no switches, hosts or links: nothing to build")
    plan = LabPlan(tuple(sorted(dpids)), hosts, links)
    prefix = document.get("prefix")
    if not prefix:
        return checked(_with_prefixes(plan), where)
    four = _number(prefix.get("ipv4", 16), f"{where}: prefix")
    six = _number(prefix.get("ipv6", 64), f"{where}: prefix")
    return checked(LabPlan(plan.switches, hosts, links, four, six), where)


def links_from(entries: Iterable[Any], where: str) -> tuple[Link, ...]:
    """Cables from their plain form, a list of ``{switch, port, peer_switch, peer_port}``."""
    keys = ("switch", "port", "peer_switch", "peer_port")
    found = []
    for number, entry in enumerate(entries, 1):
        place = f"{where}: link {number}"
        if not isinstance(entry, Mapping) or set(entry) != set(keys):
            raise LabError(f"{place}: must have exactly the keys {', '.join(keys)}")
        found.append(Link(*(_number(entry[key], f"{place}: {key}") for key in keys)))
    return tuple(found)


def checked(plan: LabPlan, where: str) -> LabPlan:
    """``plan`` itself, or a `LabError`: a port used twice, a MAC or an address given twice."""
    used: dict[tuple[str, object], str] = {}

    def claim(kind: str, value: object, owner: str) -> None:
        other = used.setdefault((kind, value), owner)
        if other != owner:
            raise LabError(f"{where}: {kind} {value} is used by both {other} and {owner}")

    for host in plan.hosts:
        claim("MAC", host.mac, host.name)
        claim("switch and port", f"{host.switch}:{host.port}", host.name)
        for ip in host.ips:
            claim("address", ip, host.name)
    for link in plan.links:
        name = f"the link {link.switch}-{link.peer_switch}"
        claim("switch and port", f"{link.switch}:{link.port}", name)
        claim("switch and port", f"{link.peer_switch}:{link.peer_port}", f"{name} ")
    return plan


def covering_prefix(addresses: Iterable[str], longest: int) -> int:
    """The longest prefix, at most ``longest`` bits, in which all addresses are neighbours.

    >>> covering_prefix(["10.0.1.1", "10.0.3.9"], 16), covering_prefix(["10.0.1.1", "10.9.1.1"], 16)
    (16, 12)
    """
    values = [ip_address(a) for a in addresses]
    prefix = longest
    while prefix and len({ip_network((value, prefix), strict=False) for value in values}) > 1:
        prefix -= 1
    return prefix


def _with_prefixes(plan: LabPlan) -> LabPlan:
    ips = [ip for host in plan.hosts for ip in host.ips]
    four = covering_prefix((ip for ip in ips if ":" not in ip), plan.prefix4)
    six = covering_prefix((ip for ip in ips if ":" in ip), plan.prefix6)
    return LabPlan(plan.switches, plan.hosts, plan.links, four, six)


def _ends(link: Link) -> tuple[int, int]:
    return link.switch, link.peer_switch


def _host(name: object, entry: object, where: str) -> LabHost:
    place = f"{where}: host {name}"
    if not isinstance(entry, Mapping):
        raise LabError(f"{place}: must have mac, ip, switch and port")
    missing = {"mac", "ip", "switch", "port"} - set(entry)
    if missing:
        raise LabError(f"{place}: {sorted(missing)[0]} is missing")
    given = entry["ip"] if isinstance(entry["ip"], list) else [entry["ip"]]
    try:
        ips = sorted((ip_address(str(ip)) for ip in given), key=lambda ip: (ip.version, int(ip)))
    except ValueError as error:
        raise LabError(f"{place}: {error}") from error
    switch = _number(entry["switch"], f"{place}: switch")
    port = _number(entry["port"], f"{place}: port")
    return LabHost(str(name), str(entry["mac"]).lower(), tuple(map(str, ips)), switch, port)


def _number(value: object, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise LabError(f"{where}: expected a positive number, not {value!r}")

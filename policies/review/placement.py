"""Where a policy says that its switches and hosts are, compared with what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from policies.model import Host, Policy, Selector
from topology.records import DroppedSource

PlacementKind = Literal["absent-switch", "absent-port", "elsewhere", "other-mac"]


@dataclass(frozen=True, slots=True)
class ConnectedSwitch:
    """A switch that is connected now; ``down`` are those of its ``ports`` that have no link."""

    number: int
    ports: frozenset[int]
    down: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class PlacementProblem:
    """Something that is not where the policy has it. ``hosts`` are those concerned, ``text`` a line
    for people, ``advice`` what to do."""

    kind: PlacementKind
    switch: int
    port: int | None
    hosts: tuple[str, ...]
    text: str
    advice: str


def policy_switches(policy: Policy) -> frozenset[int]:
    """The switches that a policy names."""
    return frozenset(place.switch for place in _places(policy) if place.switch is not None)


def _places(policy: Policy) -> Iterator[Host | Selector]:
    """Whatever may name a switch and a port."""
    yield from policy.hosts
    for segment in policy.segments:
        yield from segment.members


def placement_problems(
    policy: Policy, connected: Collection[ConnectedSwitch], dropped: Iterable[DroppedSource] = ()
) -> tuple[PlacementProblem, ...]:
    """All differences, those that concern most hosts first; ``dropped`` are packets whose source
    is not bound to their port."""
    by_number = {each.number: each for each in connected}
    return (
        *_absent_switches(policy, by_number),
        *_absent_ports(policy, by_number),
        *_strangers(policy, dropped),
    )


def _absent_switches(
    policy: Policy, connected: Mapping[int, ConnectedSwitch]
) -> Iterator[PlacementProblem]:
    on_switch: dict[int, list[str]] = {}
    for host in policy.hosts:
        if host.switch is not None:
            on_switch.setdefault(host.switch, []).append(host.name)
    for switch in sorted(policy_switches(policy) - connected.keys()):
        hosts = tuple(on_switch.get(switch, ()))
        there = f"; the policy has {', '.join(hosts)} there" if hosts else ""
        yield PlacementProblem(
            "absent-switch", switch, None, hosts,
            f"switch {switch} is not connected{there}",
            f"check that its datapath id is {switch:016x} and its controller this machine "
            "(`ovs-vsctl show`), or correct `switch:`",
        )  # fmt: skip


def _absent_ports(
    policy: Policy, connected: Mapping[int, ConnectedSwitch]
) -> Iterator[PlacementProblem]:
    wanted: dict[tuple[int, int], list[str]] = {}
    for place in _places(policy):
        if place.switch is not None and place.port is not None:
            names = wanted.setdefault((place.switch, place.port), [])
            if isinstance(place, Host):
                names.append(place.name)
    for (switch, port), hosts in sorted(wanted.items()):
        there = connected.get(switch)
        if there is None or port in there.ports:
            continue
        what = ", ".join(hosts) if hosts else "members of a segment"
        yield PlacementProblem(
            "absent-port", switch, port, tuple(hosts),
            f"switch {switch} has no port {port}, where the policy has {what}"
            f" (its ports: {ranges(there.ports)})",
            f"correct `port:` (`ovs-ofctl show BRIDGE` numbers the ports), or add the port to "
            f"switch {switch}",
        )  # fmt: skip


def _strangers(policy: Policy, dropped: Iterable[DroppedSource]) -> Iterator[PlacementProblem]:
    """Declared hosts seen on other ports, and other MACs seen on the ports of declared hosts."""
    by_mac = {host.mac: host for host in policy.hosts if host.mac is not None}
    by_place: dict[tuple[int, int], list[Host]] = {}
    for host in policy.hosts:
        if host.switch is not None and host.port is not None:
            by_place.setdefault((host.switch, host.port), []).append(host)
    found: dict[tuple[str, int, int, str], PlacementProblem] = {}
    for each in dropped:
        here = (each.switch, each.port)
        stray = by_mac.get(each.mac)
        if stray is None:
            for owner in _meant(each, by_place.get(here, [])):
                found.setdefault((owner.name, *here, each.mac), _other_mac(owner, each))
        elif None not in (stray.switch, stray.port) and (stray.switch, stray.port) != here:
            found.setdefault((stray.name, *here, ""), _elsewhere(stray, each))
    yield from found.values()


def _meant(seen: DroppedSource, owners: list[Host]) -> list[Host]:
    """Of the hosts of a port those that an unknown MAC must be meant for: it uses their address, or
    no other host is declared there."""
    known = [host for host in owners if host.mac is not None]
    if len(owners) == 1:
        return known
    return [host for host in known if seen.ip in {str(ip) for ip in host.ips}]


def _elsewhere(host: Host, seen: DroppedSource) -> PlacementProblem:
    return PlacementProblem(
        "elsewhere", seen.switch, seen.port, (host.name,),
        f"{host.name} is seen on {place_text(seen.switch, seen.port)}, the policy has it "
        f"on {place_text(host.switch, host.port)}: its packets are dropped",
        f"plug it in there, or correct `switch:` and `port:` of {host.name}",
    )  # fmt: skip


def _other_mac(host: Host, seen: DroppedSource) -> PlacementProblem:
    return PlacementProblem(
        "other-mac", seen.switch, seen.port, (host.name,),
        f"{host.name}'s declared MAC is {host.mac}, seen {seen.mac} on "
        f"{place_text(seen.switch, seen.port)}: its packets are dropped",
        f"correct `mac:` of {host.name}, or unplug what is there instead",
    )  # fmt: skip


def place_text(switch: int | None, port: int | None) -> str:
    """``switch 2 port 12``, without the parts that are not known."""
    parts = [f"switch {switch}" if switch is not None else "",
             f"port {port}" if port is not None else ""]  # fmt: skip
    return " ".join(part for part in parts if part) or "no declared port"


def ranges(numbers: Iterable[int]) -> str:
    """``1-8, 49`` for a set of numbers."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, each)) for each in found) or "none"

"""Policies that are valid but that no target can implement: refused, with the line of the cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policies.model import Host, Intent, Source


class CompileError(Exception):
    """A policy that is valid but does not fit the rule tables; the text says what to change."""


@dataclass(frozen=True, slots=True)
class PolicyRefusal:
    """``why`` ends with what to do about it."""

    source: Source
    why: str


def shared_between_vlans(hosts: Iterable[Host]) -> Iterator[PolicyRefusal]:
    """MACs and addresses that hosts of different VLANs have.

    Nothing is tagged between switches, and an address is known by itself there: the two hosts would
    have each other's segments, and get each other's packets.
    """
    owners: dict[object, Host] = {}
    for host in hosts:
        for what in (*([host.mac] if host.mac else []), *host.ips):
            first = owners.setdefault(what, host)
            if first.vlan != host.vlan:
                yield PolicyRefusal(
                    host.source,
                    f"{what} of '{host.name}' is also that of '{first.name}' in another VLAN "
                    f"({first.source}), and switches cannot tell them apart: give one of them "
                    "another",
                )


def refuse_shared(hosts: Iterable[Host]) -> None:
    """Raises CompileError for the first that is shared."""
    for refusal in shared_between_vlans(hosts):
        raise CompileError(f"{refusal.source}: {refusal.why}")


def served_on_tagged_ports(hosts: Iterable[Host]) -> Iterator[PolicyRefusal]:
    """Routers and servers on ports that several VLANs share, which is not made yet."""
    every = tuple(hosts)
    on_port: dict[tuple[int, int], set[int | None]] = {}
    for host in every:
        if host.switch is not None and host.port is not None:
            on_port.setdefault((host.switch, host.port), set()).add(host.vlan)
    for host in every:
        if host.vlan is None or not (host.routes or host.serves):
            continue
        if host.switch is None or host.port is None:
            continue
        if len(on_port[host.switch, host.port]) > 1:
            yield PolicyRefusal(host.source, served_where_vlans_share(host, host.switch, host.port))


def served_where_vlans_share(host: Host, switch: int, port: int) -> str:
    return (
        f"host '{host.name}' routes or serves on port {port} of switch {switch}, which several "
        "VLANs share: give it a port of its own"
    )


def without_tracking(intents: Iterable[Intent]) -> Iterator[PolicyRefusal]:
    """Intents whose helpers need what a switch without connection tracking has not."""
    for intent in intents:
        for helper in sorted({s.helper for s in intent.services if s.helper is not None}):
            yield PolicyRefusal(
                intent.source,
                f"'{intent.name}' has the helper {helper}, which needs connection tracking: name "
                "ports instead, or give the switch `kind: stateful`",
            )


def refuse_helpers(intents: Iterable[Intent]) -> None:
    """Raises CompileError for the first intent that only connection tracking can carry out."""
    for refusal in without_tracking(intents):
        raise CompileError(f"{refusal.source}: {refusal.why}")

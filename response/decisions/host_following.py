"""Decisions go with the host: over its addresses and ports, as these change hands."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from response.decision import MACHINE, Decision, Port, id_of
from response.decisions.authorization import Authorization
from response.decisions.lifecycle import Lifecycle
from response.ipc.messages import Command
from response.state.interfaces import StateStore

MAX_PROPOSALS = 1_000
"""Open proposals; a flood of alerts beyond it is recorded as alerts."""


def follow_hosts(
    lifecycle: Lifecycle,
    authorization: Authorization,
    store: StateStore,
    on_hold: bool,
    now: float,
) -> list[Command]:
    """What the hosts, or the policy, of the moment change about the active decisions.

    A blocked host that takes another address stays blocked; an address that went to another host,
    or is protected now, is blocked no more. A port is no longer taken whole once somebody is there
    who may not be. Nothing more is taken while automatic action is ``on_hold``.
    """
    commands: list[Command] = []
    for decision in lifecycle.active():
        kept = authorization.still_of(decision)
        sharer = _sharer(decision, authorization)
        if sharer is not None:
            found = (*kept, *authorization.identities(decision.ports, kept))
            number, addresses = store.next_decision_number(), tuple(dict.fromkeys(found))
            commands += lifecycle.narrow(decision.id, addresses, number, now, sharer, whole=False)
            if decision.scope == "port":
                commands += propose_port(lifecycle, store, decision, sharer, now)
        elif len(kept) < len(decision.addresses) and (kept or not decision.taken):
            reason = "an address belongs to another host now"
            number = store.next_decision_number()
            commands += lifecycle.narrow(decision.id, kept, number, now, reason)
        elif not on_hold:
            commands += _cover(lifecycle, authorization, decision, now)
    return commands


def _sharer(decision: Decision, authorization: Authorization) -> str | None:
    if decision.scope == "shared-port":
        return authorization.protected_on(decision.taken)
    return authorization.sharer(decision.taken)


def _cover(
    lifecycle: Lifecycle, authorization: Authorization, decision: Decision, now: float
) -> list[Command]:
    """Cover what the host of a decision has taken since."""
    if decision.ports and not decision.taken:
        found = authorization.identities(decision.ports, decision.addresses)
        return lifecycle.cover(decision.id, found, now)
    commands: list[Command] = []
    for host in authorization.holders(decision.addresses):
        if host.declared and host.name != decision.target:
            continue
        if decision.taken and set(host.ports) & set(decision.taken):
            continue  # whatever it is called there
        ports: Iterable[Port] = ()
        if decision.taken and host.addresses[-1] in decision.addresses:
            # The same MAC elsewhere (its link-local address comes last): the host has moved.
            extent = authorization.extent(host)
            ports = extent.ports if extent.scope == "port" else ()
        addresses = authorization.unprotected(host.addresses)
        commands += lifecycle.cover(decision.id, addresses, now, ports)
    return commands


def propose_port(
    lifecycle: Lifecycle, store: StateStore, decision: Decision, sharer: str, now: float
) -> list[Command]:
    """Let a person say whether a shared port is taken whole, unless that waits already."""
    waiting = (each for each in lifecycle.open.proposed.values() if each.scope == "shared-port")
    if any(set(each.ports) & set(decision.ports) for each in waiting):
        return []
    if len(lifecycle.open.proposed) >= MAX_PROPOSALS:
        return []
    number = store.next_decision_number()
    made = id_of(number)
    proposal = replace(
        decision, id=made, number=number, ts=now, state="proposed", scope="shared-port", by=MACHINE,
        rules=(), until=None, supersedes=None, superseded_by=None, approved_by=None,
        would_release_if=decision.would_release_if.replace(decision.id, made),
    )  # fmt: skip
    return lifecycle.begin(proposal, f"{sharer}: a person decides about the whole port")

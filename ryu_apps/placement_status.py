"""What a controller reports about the placement of its policy's switches and hosts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from msgspec.structs import asdict as fields_of

from policies.review.placement import ConnectedSwitch, placement_problems, policy_switches, ranges
from ryu_apps.core import Core
from ryu_apps.switch.session import Phase


def placement_status(core: Core) -> dict[str, Any]:
    """Differences from the policy's inventory, and packets dropped because of their source."""
    dropped = core.hosts.dropped.latest()
    found = placement_problems(core.desired_state.policy, connected_switches(core), dropped)
    return {
        "inventory": [asdict(each) for each in found],
        "dropped_sources": [fields_of(each) for each in dropped],
    }


def connected_switches(core: Core) -> tuple[ConnectedSwitch, ...]:
    return tuple(
        ConnectedSwitch(switch, frozenset(session.ports), down_ports(core, switch))
        for switch, session in sorted(core.sessions.items())
    )


def down_ports(core: Core, switch: int) -> frozenset[int]:
    """The ports of a switch that have no link."""
    return frozenset(port for where, port in core.network.hosts.down if where == switch)


def switches_are_there(core: Core, expected: int | None) -> bool:
    """Whether the connected switches have their rules, and are as many as ``expected``; with None,
    at least one that the policy names, where it names any."""
    sessions = [s for s in core.sessions.values() if s.switch not in core.admission.released]
    ready = {s.switch for s in sessions if s.phase is Phase.READY and s.idle and not s.problem}
    if len(ready) < len(sessions):
        return False
    if expected is not None:
        return len(ready) >= expected
    named = policy_switches(core.desired_state.policy)
    return not named or bool(named & ready)


def awaited(core: Core, expected: int | None) -> str:
    """What `switches_are_there` waits for, as a line for the log."""
    named = sorted(policy_switches(core.desired_state.policy))
    there = ", ".join(map(str, sorted(core.sessions))) or "none"
    if expected:
        return f"waiting for {expected} switches with their rules; connected: {there}"
    return f"waiting for switches of the policy ({ranges(named)}); connected: {there}"

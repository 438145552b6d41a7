"""What the controller reports about itself, written into the audit."""

from __future__ import annotations

from msgspec.structs import asdict

from response.audit.log import Audit
from response.ipc import messages as m
from response.policy_event import PolicyEvent
from response.state.interfaces import StateStore

ControllerEvent = (
    m.SwitchChanged | m.LinkChanged | m.PolicyApplied | m.PolicyConfirmed | m.PolicyEvents
)


def note_event(store: StateStore, audit: Audit, event: ControllerEvent, now: float) -> None:
    """Append one entry; of policy events one each, however often the controller sends them."""
    match event:
        case m.SwitchChanged(ts, switch, what, detail):
            audit.append(ts, "switch", {"switch": switch, "what": what, "detail": detail})
        case m.LinkChanged(ts, what, link, detail):
            audit.append(ts, "link", {"what": what, **asdict(link), "detail": detail})
        case m.PolicyApplied(ts, files, digest, problem, version):
            data = {"files": list(files), "digest": digest, "problem": problem}
            audit.append(ts, "policy", {**data, "version": version})
        case m.PolicyConfirmed(version, switches):
            confirmed = {"what": "confirmed by barrier", "version": version}
            audit.append(now, "rollout", {**confirmed, "switches": list(switches)})
        case m.PolicyEvents(events):
            _note_policy_events(store, audit, events)


def _note_policy_events(store: StateStore, audit: Audit, events: tuple[PolicyEvent, ...]) -> None:
    with store.transaction():
        last = int(store.meta("policy_event") or 0)
        for event in events:
            if event.number > last:
                data = asdict(event)
                del data["peer"]
                if event.peer is not None:
                    data |= event.peer.facts()
                audit.append(event.ts, "rollout", data)
                store.set_meta("policy_event", str(event.number))

"""An audit entry in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analysis.clock.steps import ClockStep
from console.clients.state_directory import moment
from response.audit.chain import AuditEntry
from response.decision import places


def summary(entry: AuditEntry) -> str:
    """One line about an entry, beginning with the decision that it belongs to."""
    data = entry.values()
    named = f"{data['decision']}: " if data.get("decision") else ""
    return named + _SUMMARIES.get(entry.kind, _any)(data)


def _any(data: dict[str, Any]) -> str:
    shown = {name: value for name, value in data.items() if name != "decision"}
    return ", ".join(f"{name} {_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _started(data: dict[str, Any]) -> str:
    adapt = "alerts may become decisions" if data["adapt"] else "alerts only"
    hold = f"; on hold by {data['hold']}" if data.get("hold") else ""
    return f"{adapt}; active: {_short(data['active']) or 'none'}{hold}"


def _alert(data: dict[str, Any]) -> str:
    alert = data["alert"]
    text = f"{alert['kind']} by {alert['host']}, score {alert['score']:.6f}"
    return f"{text}; {data['outcome']}: {data['reason']}"


def _decision(data: dict[str, Any]) -> str:
    what = f"{data['state']} {data['action']} of {data['target']} for {data['ttl']} s"
    where = "".join(f", {place}" for place in _places(data))
    return f"{what}{where}; {data['reason']}"


def _places(data: dict[str, Any]) -> list[str]:
    """The ports of a discovered host, and whether they are taken whole."""
    how = {"port": "all of ", "shared-port": "all of shared "}.get(data.get("scope", ""), "")
    return [how + place for place in places(map(tuple, data.get("ports", ())))]


def _enforce(data: dict[str, Any]) -> str:
    covered = _short([*data["addresses"], *_places(data)])
    return f"asked for {data['action']} of {covered} until {moment(data['expires'])}"


def _clock(data: dict[str, Any]) -> str:
    return ClockStep(data["seconds"], data["system_ahead"]).line()


def _rules(data: dict[str, Any]) -> str:
    return "; ".join(f"switch {s} table {t} cookie {c:#018x}" for s, t, c in data["rules"])


def _spoof(data: dict[str, Any]) -> str:
    most = data["most"][0]
    first = f"{most['mac']} {most['ip']} on switch {most['switch']} port {most['port']}"
    return f"{data['packets']} packets; most: {first} ({most['reason']})"


def _lost(data: dict[str, Any]) -> str:
    return f"{data['records']} records since {moment(data['since'])}"


def _switch(data: dict[str, Any]) -> str:
    return f"switch {data['switch']} {data['what']}" + (
        f": {data['detail']}" * bool(data["detail"])
    )


def _link(data: dict[str, Any]) -> str:
    near = f"switch {data['switch']} port {data['port']}"
    far = f"switch {data['peer_switch']} port {data['peer_port']}"
    return f"{near} to {far} {data['what']}: {data['detail']}"


def _host(data: dict[str, Any]) -> str:
    first = data["events"][0]
    more = f"; {data['count'] - 1} more" if data["count"] > 1 else ""
    where = f"on switch {first['switch']} port {first['port']}"
    return f"{first['mac']} {first['ip']} {first['what']} {where}{more}"


def _policy(data: dict[str, Any]) -> str:
    what = "applied" if data["problem"] is None else f"refused: {data['problem']}"
    return f"{_short(data['files'])} {what}, digest {data['digest'][:16]}"


def _feed(data: dict[str, Any]) -> str:
    if data["what"] in ("failed", "held"):
        return f"{data['feed']} {data['what']}: {data['problem']}"
    if data["what"] == "accepted":
        return f"{data['feed']} accepted by {data['by']}, digest {data['digest'][:16]}"
    if data["what"] == "aged out":
        return f"{data['feed']} is too old, nothing of it is in force"
    counts = f"{data['in_force']} of {data['entries']} entries as {data['prefixes']} prefixes"
    return f"{data['feed']} loaded ({data['mode']}): {counts}, {data['refused']} refused"


def _extended(data: dict[str, Any]) -> str:
    if "until" not in data:
        return f"covers {_short([*data['addresses'], *_places(data)])} too"
    why = f" ({data['reason']})" if data["reason"] else ""
    return f"holds until {moment(data['until'])}, by {data['by']}{why}"


def _reward(data: dict[str, Any]) -> str:
    what = f"{data['action']} (the table says {data['table']}) earned {data['reward']:+.3f}"
    safe = f"{data['safe_carried']} safe connections carried, {data['safe_stopped']} stopped"
    person = f"; a person: {data['person']}" if data["person"] else ""
    return f"{what}: {safe}, {data['pairs_left']} of {data['pairs']} host pairs left{person}"


def _rollout(data: dict[str, Any]) -> str:
    if "switches" in data:
        return f"version {data['version']} {data['what']} on switches {_short(data['switches'])}"
    return f"version {data['version']} {data['what']} by {data['by']}" + (
        f": {data['note']}" if data["note"] else ""
    )


def _hold(data: dict[str, Any]) -> str:
    return f"automatic action {'stopped' if data['on'] else 'resumed'} by {data['by']}"


def _storage(data: dict[str, Any]) -> str:
    lost = ", ".join(f"{count} {what}" for what, count in data["not_stored"].items()) or "nothing"
    return f"{data['what']} after {data['seconds']:.0f} s; lost: {lost} ({data['problem']})"


_SUMMARIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "started": _started,
    "alert": _alert,
    "decision": _decision,
    "approved": lambda data: f"by {data['by']}",
    "rejected": lambda data: str(data["reason"]) if "reason" in data else f"by {data['by']}",
    "released": lambda data: str(data["reason"]),
    "expired": lambda data: f"its time was over (it was {data['was']})",
    "extended": _extended,
    "reward": _reward,
    "enforce": _enforce,
    "withdraw": lambda data: "asked to take its rules away",
    "confirmed": _rules,
    "removed": _rules,
    "spoof": _spoof,
    "lost": _lost,
    "switch": _switch,
    "link": _link,
    "host": _host,
    "policy": _policy,
    "feed": _feed,
    "checkpoint": lambda data: f"number {data['number']} signs everything up to {data['seq']}",
    "archived": lambda data: f"entries {data['first']} to {data['last']} to {data['file']}",
    "rollout": _rollout,
    "hold": _hold,
    "storage": _storage,
    "clock": _clock,
}

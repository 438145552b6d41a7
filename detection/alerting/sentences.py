"""What was seen, in sentences."""

from __future__ import annotations

from datetime import date

from detection.alert import Alert, Contribution
from detection.features.catalogue import FEATURES
from detection.features.outsiders import KnockingDay

EPOCH = date(1970, 1, 1).toordinal()
SHOWN = 3  # targets and features that are named
UNITS = {feature.name: feature.unit for feature in FEATURES} | {
    "hop_depth": "hops in a row over new edges on footholds",
    "role_flip": "new peers on footholds, for a host that only served before",
    "suspect_origin": "points of suspicion against where it was reached from",
    "logins": "exchanges within an hour on a service that people log in to",
    "session_bytes": "bytes in one session after guesses",
    "hosts_logged_in_to": "hosts of ours logged in to within an hour",
    "spoofed_packets": "packets within a minute from addresses that are not bound to the port",
}
DOES = {
    "scan": "searches the network",
    "policy-probe": "tries what policy refuses",
    "spread": "opens sessions on hosts where it had none",
    "lateral-path": "goes on from host to host",
    "novel-edge": "connects where it never did",
    "volume": "moves more than it should",
    "beacon": "calls out by the clock",
    "password-guessing": "guesses passwords",
    "outside-access": "got in from outside",
    "spoofing": "sends in the name of others",
}


def sentence(alert: Alert) -> str:
    """What its host does, to whom, how much of it and how often that is normal here."""
    text = f"{alert.host} {DOES.get(alert.kind, alert.kind)}{_targets(alert)}"
    parts = [part for part in alert.features if part.contribution > 0.0][:SHOWN]
    if parts:
        text += f": {'; '.join(map(_amount, parts))}"
    if alert.every_days is not None:
        text += f"; {odds(alert.every_days)}"
    return text


def odds(days: float) -> str:
    if days > 3650.0:
        return "less than once in ten years on this network"
    if days < 1.0:
        return f"about {1.0 / max(days, 1e-3):.0f} times a day on this network"
    return f"about once in {days:.0f} {'day' if round(days) == 1 else 'days'} on this network"


def _targets(alert: Alert) -> str:
    hops = [hop for hop in alert.path if hop.src == alert.host]
    targets = list(dict.fromkeys(hop.dst for hop in hops))
    if not targets:
        return ""
    left = len(targets) - SHOWN
    named = ", ".join(targets[:SHOWN]) + (f" and {left} more" if left > 0 else "")
    services = list(dict.fromkeys(hop.service for hop in hops))
    return f" ({named} on {', '.join(services[:SHOWN])}{', ...' if services[SHOWN:] else ''})"


def _amount(part: Contribution) -> str:
    unit = UNITS.get(part.feature, part.feature)
    shown = _bytes if unit.startswith("bytes") else "{:.3g}".format
    return f"{shown(part.value)} {unit} (normal up to {shown(part.high)})"


def _bytes(count: float) -> str:
    """The word itself is part of the feature's unit."""
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:.3g}"


def knocking_line(day: KnockingDay) -> str:
    """A day of outside hosts that came to nothing (UTC)."""
    when = date.fromordinal(min(EPOCH + day.day, date.max.toordinal())).isoformat()
    text = (
        f"{when}: {_counted(day.hosts, 'outside host')} tried {_counted(day.tries, 'service')} of "
        f"{_counted(day.targets, 'host')} of ours in vain"
    )
    if day.services:
        text += f", most often {', '.join(service for service, _ in day.services)}"
    if day.guessers:
        text += f"; {_counted(day.guessers, 'outside host')} guessed passwords"
    return text


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"

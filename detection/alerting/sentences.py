"""What was seen, in sentences."""

from __future__ import annotations

from datetime import date

from detection.features.outsiders import KnockingDay

EPOCH = date(1970, 1, 1).toordinal()


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

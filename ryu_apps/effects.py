"""Effects that the controller's core asks for: values that the app carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.semantics.retained_intents import RetainedIntents
from response.ipc.messages import Message
from topology.records import Binding, Link


@dataclass(frozen=True, slots=True)
class Send:
    """OpenFlow bytes for one switch."""

    switch: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """A message for the analysis."""

    message: Message


@dataclass(frozen=True, slots=True)
class Save:
    """What a restart must know: hosts found by discovery, links, retained intents, and released
    switches with who released them."""

    bindings: tuple[Binding, ...] | None = None
    links: tuple[Link, ...] | None = None
    retained: RetainedIntents | None = None
    released: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the operator's log; ``level`` is a standard logging level."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception that cost its own ``place`` a turn and nothing else: to be counted."""

    place: str
    error: Exception


Effect = Send | Report | Save | Log | Fault

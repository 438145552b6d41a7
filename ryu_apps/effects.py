"""What the controller's core wants done: values that the app carries out."""

from __future__ import annotations

from dataclasses import dataclass

from policies.semantics.retained_intents import Keeping
from response.ipc.messages import Message
from topology.records import Binding, Link


@dataclass(frozen=True, slots=True)
class Send:
    """OpenFlow bytes for one switch."""

    switch: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Tell:
    """A message for the analysis."""

    message: Message


@dataclass(frozen=True, slots=True)
class Remember:
    """What a restart must know at once: hosts found by discovery, links, and kept intents."""

    bindings: tuple[Binding, ...] | None = None
    links: tuple[Link, ...] | None = None
    keeping: Keeping | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the operator's log; ``level`` is a standard logging level."""

    level: int
    text: str


Effect = Send | Tell | Remember | Log

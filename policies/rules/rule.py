"""Flow rules as values, before any wire format: what the compiler emits.

A rule names Open vSwitch's fields and actions, independent of bytes and of any controller library.
`policies.rules.ovs_text` writes rules as ``ovs-ofctl`` text, `ryu_apps.openflow` as OpenFlow
messages, and the tests interpret them in software.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PACKET_HEAD = 128  # bytes of a copy: all that is read of most packets


@dataclass(frozen=True, slots=True)
class Field:
    """One matched field: ``mask`` None means every bit."""

    name: str
    value: int
    mask: int | None = None

    @property
    def sort_key(self) -> tuple[str, int, int]:
        return (self.name, self.value, -1 if self.mask is None else self.mask)


@dataclass(frozen=True, slots=True)
class Bits:
    """A run of bits of a field or register, ``low`` counted from the least significant."""

    field: str
    low: int
    width: int


@dataclass(frozen=True, slots=True)
class Load:
    """Write a constant of at most 64 bits."""

    target: Bits
    value: int


@dataclass(frozen=True, slots=True)
class Move:
    source: Bits
    target: Bits


@dataclass(frozen=True, slots=True)
class Output:
    port: int


@dataclass(frozen=True, slots=True)
class OutputRegister:
    """Out of the port whose number a register holds."""

    source: Bits


@dataclass(frozen=True, slots=True)
class CopyToController:
    """Send a truncated copy through a meter; the packet itself continues."""

    meter: int
    max_len: int = PACKET_HEAD


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Look up one table, then continue here."""

    table: int


@dataclass(frozen=True, slots=True)
class Track:
    """Send the packet through connection tracking and on in ``table``."""

    zone: int
    table: int


REMEMBERED = Bits("ct_label", 0, 1)


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the connection, marked with a register's value if given, and continue in ``table``.
    `REMEMBERED` is then set, unless the connection table is full. ``helper`` (``ftp``, ``tftp``)
    is to find the connections that belong to it."""

    zone: int
    table: int
    mark: Bits | None = None
    helper: str | None = None


@dataclass(frozen=True, slots=True)
class LearnMatch:
    """The learned rule matches ``source`` of this packet in the same field."""

    source: Bits


@dataclass(frozen=True, slots=True)
class LearnConstant:
    """The learned rule matches a constant."""

    target: Bits
    value: int


@dataclass(frozen=True, slots=True)
class Learn:
    """Let the switch add one counting rule; ``load`` is the action of that rule."""

    table: int
    priority: int
    cookie: int
    idle_timeout: int
    limit: int
    match: tuple[LearnMatch | LearnConstant, ...]
    load: Load


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Put a tag on the frame; its VLAN is loaded afterwards."""


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the frame's tag off."""


@dataclass(frozen=True, slots=True)
class UseMeter:
    """Let a meter drop the excess; always the first action of a rule."""

    number: int


@dataclass(frozen=True, slots=True)
class ToController:
    """The packet itself goes to the controller, without Open vSwitch's extensions."""

    max_len: int = 128


@dataclass(frozen=True, slots=True)
class WriteMetadata:
    """Write the masked bits of the metadata; stands before a goto and after all else."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Goto:
    """Always the last action of a rule."""

    table: int


RuleAction = (
    Load
    | Move
    | Output
    | OutputRegister
    | CopyToController
    | Resubmit
    | Track
    | Commit
    | Learn
    | PushVlan
    | PopVlan
    | UseMeter
    | ToController
    | WriteMetadata
    | Goto
)
RuleKey = tuple[int, int, tuple[Field, ...]]


@dataclass(frozen=True, slots=True)
class Rule:
    """``match`` is sorted by field name; no actions means drop.

    ``hard_timeout`` and ``idle_timeout`` in seconds, 0 for none.
    """

    table: int
    priority: int
    match: tuple[Field, ...]
    actions: tuple[RuleAction, ...]
    cookie: int
    hard_timeout: int = 0
    idle_timeout: int = 0

    @property
    def key(self) -> RuleKey:
        """The identity of a rule on a switch: a second one with this key replaces the first."""
        return (self.table, self.priority, self.match)

    @property
    def sort_key(self) -> tuple[int, int, tuple[tuple[str, int, int], ...]]:
        """Table by table, highest priority first."""
        return (self.table, -self.priority, tuple(field.sort_key for field in self.match))


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit on copies to the controller: packets per second, with a burst."""

    number: int
    rate: int
    burst: int
    unit: Literal["pps"] = "pps"


def match(*fields: Field | None) -> tuple[Field, ...]:
    """The fields that are not None, in the canonical order."""
    present = (field for field in fields if field is not None)
    return tuple(sorted(present, key=lambda field: field.sort_key))

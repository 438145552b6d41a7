"""Messages on their way to the analysis: in order, bounded in every class, losses counted.

An analysis that hangs or starts for long must not cost the controller its memory. Of what is sent
whole each time (all hosts, all own addresses) only the latest waits; of everything else the oldest
of its class makes room.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

from response.ipc.messages import (
    HostPlaced,
    HostsChanged,
    LinkChanged,
    Message,
    OwnAddresses,
    PolicyApplied,
    PolicyConfirmed,
    PolicyEvents,
    RecordsSeen,
    RulesConfirmed,
    SpoofsSeen,
    SwitchChanged,
)

MAX_EVIDENCE = 20_000  # records that wait, and as many spoofed packets
MAX_EVENTS = 10_000  # that wait, of each other class
BATCH = 500  # messages joined to one at most

WHOLE = (HostsChanged, OwnAddresses, PolicyEvents)
"""Each says all there is of its kind, so that an earlier one is of no use."""

_CLASSES: dict[type, str] = {
    RecordsSeen: "records",
    SpoofsSeen: "spoofs",
    SwitchChanged: "switch events",
    LinkChanged: "switch events",
    HostPlaced: "switch events",
    RulesConfirmed: "confirmations",
    PolicyApplied: "policies",
    PolicyConfirmed: "policies",
}
EVIDENCE = ("records", "spoofs")
Evidence = RecordsSeen | SpoofsSeen


@dataclass(slots=True)
class Outbox:
    """``lost`` counts records dropped since that was last reported, ``lost_by_class`` everything
    dropped, ``too_large`` other messages that no frame could hold, either way."""

    lost: int = 0
    too_large: int = 0
    lost_by_class: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, deque[tuple[int, Message]]] = field(default_factory=dict)
    _weights: Counter[str] = field(default_factory=Counter)
    _whole: dict[type, tuple[int, Message]] = field(default_factory=dict)
    _next: int = 0
    _first: int = 0  # what is given back goes before everything else

    @property
    def lost_in_all(self) -> int:
        """Records and spoofed packets dropped."""
        return sum(self.lost_by_class[each] for each in EVIDENCE)

    def put(self, message: Message) -> None:
        self._next += 1
        if isinstance(message, WHOLE):
            self._whole[type(message)] = (self._next, message)
            return
        name = _CLASSES[type(message)]
        self._waiting.setdefault(name, deque()).append((self._next, message))
        self._weights[name] += _weight(message)
        self._make_room(name)

    def give_back(self, messages: Iterable[Message]) -> None:
        """Messages that could not be delivered; they go before what has come since."""
        for message in reversed(tuple(messages)):
            self._first -= 1
            if isinstance(message, WHOLE):
                self._whole.setdefault(type(message), (self._first, message))
                continue
            name = _CLASSES[type(message)]
            self._waiting.setdefault(name, deque()).appendleft((self._first, message))
            self._weights[name] += _weight(message)
            self._make_room(name)

    def _make_room(self, name: str) -> None:
        most = MAX_EVIDENCE if name in EVIDENCE else MAX_EVENTS
        while self._weights[name] > most:
            _, message = self._waiting[name].popleft()
            self._weights[name] -= _weight(message)
            self._drop(message)

    def _drop(self, message: Message) -> None:
        """Count a message; a gap that it should have reported stays due."""
        name = _CLASSES.get(type(message))
        if name is None:
            return
        self.lost_by_class[name] += _weight(message)
        if isinstance(message, RecordsSeen):
            self.lost += len(message.records) + message.lost

    def leave_out(self, message: Message) -> None:
        """Count a message that no frame can hold."""
        self._drop(message)
        evidence = isinstance(message, RecordsSeen | SpoofsSeen) and _weight(message) > 0
        self.too_large += not evidence

    def take(self) -> list[Message]:
        """Everything that waits, neighbouring evidence of one kind in one message."""
        waiting = sorted(
            chain(self._whole.values(), *self._waiting.values()), key=lambda each: each[0]
        )
        self._waiting.clear()
        self._weights.clear()
        self._whole.clear()
        self._first = 0
        taken: list[Message] = []
        batch: list[Evidence] = []
        for _, message in waiting:
            if batch and (type(batch[0]) is not type(message) or len(batch) >= BATCH):
                taken.append(self._join(batch))
                batch = []
            if isinstance(message, RecordsSeen | SpoofsSeen):
                batch.append(message)
            else:
                taken.append(message)
        if batch:
            taken.append(self._join(batch))
        return taken

    def _join(self, batch: list[Evidence]) -> Message:
        if isinstance(batch[0], SpoofsSeen):
            spoofs = (each.spoofs for each in batch if isinstance(each, SpoofsSeen))
            return SpoofsSeen(tuple(chain.from_iterable(spoofs)))
        joined = [each for each in batch if isinstance(each, RecordsSeen)]
        lost, self.lost = self.lost + sum(each.lost for each in joined), 0
        return RecordsSeen(tuple(chain.from_iterable(each.records for each in joined)), lost)


def lost_messages(outbox: Outbox) -> dict[str, int]:
    """What was dropped besides evidence, for ``septum status``."""
    names = sorted({*_CLASSES.values()}.difference(EVIDENCE))
    return {f"messages_about_{name.replace(' ', '_')}": outbox.lost_by_class[name]
            for name in names}  # fmt: skip


def _weight(message: Message) -> int:
    """How many it counts for in its class."""
    if isinstance(message, RecordsSeen):
        return len(message.records)
    return len(message.spoofs) if isinstance(message, SpoofsSeen) else 1

"""What must become of one packet: the value that a run through the rules is held against."""

from __future__ import annotations

from dataclasses import dataclass

from policies.model import Connection, Verdict


@dataclass(frozen=True, slots=True)
class ExpectedPassage:
    """``outcome`` None: not judged here; ``outputs`` are as `leaving` has them, ``copies`` the
    reasons of copies to the controller. ``waits``: for the other fragments of its packet, or has
    what waits for it let go. ``helper`` is to read the connection that it begins."""

    outputs: frozenset[int] = frozenset()
    copies: tuple[int, ...] = ()
    commit: int | None = None
    learns: bool = False
    outcome: int | None = None
    verdict: Verdict | None = None
    asked: Connection | None = None
    waits: bool = False
    helper: str | None = None


NOTHING = ExpectedPassage()

"""How long a switch's answer may become: one that goes on without an end is given up."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 64 << 20  # bytes of a switch that has no rules yet, as far as is known
PER_RULE = 1_024  # bytes beside, for each rule that it is known to have
PARTS = 100_000  # each may be almost empty


@dataclass(slots=True)
class ListingLength:
    """What came of one answer so far; ``rules`` are how many are expected."""

    rules: int = 0
    came: int = 0
    parts: int = 0

    def add(self, part: bytes) -> bool:
        """Count one part in; whether the answer is too long by now."""
        self.came += len(part)
        self.parts += 1
        most = LONGEST + PER_RULE * self.rules
        return self.came > most or self.parts > PARTS + self.rules

    def __str__(self) -> str:
        return f"it is longer than {self.came - 1:,} bytes in {self.parts:,} parts"

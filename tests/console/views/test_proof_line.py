"""What one line says about the proof of what is in force."""

from __future__ import annotations

from typing import Any

import pytest

from console.views.proof_line import proof_line

PROVEN = {"at": 90.0, "version": 3, "switches": [1, 2], "holds": True, "seconds": 0.25,
          "problems": []}  # fmt: skip
FAILED = {**PROVEN, "holds": False, "problems": ["switch 1: sent\n out", "  packet: tcp"]}


def proof(**more: Any) -> dict[str, Any]:
    return {"prover": True, "proven": PROVEN, "asked_at": None, "failure": "", **more}


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (proof(), "version 3 on 2 switches holds: 10 s ago, in 0.25 s"),
        (proof(prover=False, proven=None), "off: nothing in force is proven"),
        (proof(proven=None), "none yet"),
        (proof(proven=None, asked_at=95.0), "under way for 5 s"),
        (proof(failure="the prover ended"), "none: the prover ended"),
        (proof(proven=FAILED), "NOT PROVEN: switch 1: sent out (and 1 more lines)"),
        (proof(asked_at=99.0), "version 3 on 2 switches holds: 10 s ago, in 0.25 s; what has "
         "changed since is under way"),
        (proof(proven={**PROVEN, "version": 2, "switches": [1]}),
         "version 2 on 1 switch holds: 10 s ago, in 0.25 s; version 3 is not proven yet"),
        (proof(proven={**PROVEN, "at": -900.0}), "version 3 on 2 switches holds: 16 min ago, in "
         "0.25 s"),
    ],
)  # fmt: skip
def test_the_line(told: dict[str, Any], line: str) -> None:
    assert proof_line(told, 3, 100.0) == line

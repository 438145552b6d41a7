"""The proofs of a running controller: the prover, the gate, and the loop that watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from analysis.clock.steady import steady_time
from ryu_apps.effects import Effect
from ryu_apps.enforcement.proof_gate import ProofGate
from ryu_apps.enforcement.reconciler import Reconciler
from ryu_apps.ipc.proof_link import ProofLink
from ryu_apps.runtime import hub

EVERY = 1.0  # seconds


class ProofService:
    """``prove`` False does without: no process, nothing refused, and status says so."""

    def __init__(
        self,
        state: Path,
        prove: bool,
        reconciler: Reconciler,
        carry_out: Callable[[Iterable[Effect]], None],
    ) -> None:
        self._link = ProofLink(state) if prove else None
        self._carry_out = carry_out
        self.gate = ProofGate(reconciler, None if self._link is None else self._link.ask)

    def serve(self) -> None:
        """Keep what is in force proven. Runs in a green thread of its own."""
        while self._link is not None:
            self._carry_out(self.gate.watch(steady_time()))
            hub.sleep(EVERY)

    def status(self) -> dict[str, Any]:
        """What the gate knows, and the prover's process."""
        return {**self.gate.status(), "pid": None if self._link is None else self._link.pid}

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

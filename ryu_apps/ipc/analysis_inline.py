"""The analysis in the controller's own process: for tests and tiny networks.

The same code as in the process of its own, but the controller waits while it
works, and nobody can ask it anything (``septum decisions approve`` and the like
need the process).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from analysis.checkpoints.sealing import Sealing
from analysis.clock.steady import CLOCK, steady_time
from analysis.clock.steps import StepRecord
from analysis.storage import storage_line
from response.ipc.messages import Message, PolicyApplied, Reply
from ryu_apps.ipc.outbox import Outbox
from ryu_apps.runtime import hub
from ryu_apps.supervision import Supervisor

if TYPE_CHECKING:
    from analysis.composition import Composed, PolicyFollower

LOG = logging.getLogger("septum.analysis")

TICK = 0.25  # seconds


class InlineAnalysis:
    """Takes the place of an `AnalysisLink`."""

    def __init__(
        self,
        composed: Composed,
        follower: PolicyFollower,
        checkpoint_to: Sequence[str],
        greeting: Callable[[], list[Message]],
        reply_received: Callable[[Reply], None],
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._analysis = composed.analysis
        self._analysis.note_fault = supervisor.faults.note
        self._steps = StepRecord(composed.store, composed.audit)
        self._sealing = Sealing(composed, checkpoint_to, LOG.warning)
        self._problem = composed.problem
        self._follower = follower
        self._greeting = greeting
        self._reply_received = reply_received
        self.outbox = Outbox()
        self.ready = False
        self._wake = hub.Event()

    def status(self) -> dict[str, Any]:
        """As of an `AnalysisLink`."""
        return {"pid": None, "ready": self.ready, "restarts": 0, "hangs": 0, "last_end": "",
                "doing": ""}  # fmt: skip

    def send(self, message: Message) -> None:
        self.outbox.put(message)
        self._wake.set()

    def serve(self) -> None:
        """Process messages as they come, until killed."""
        if self._problem is not None:
            LOG.warning("analysis: %s", self._problem)
        for command in self._analysis.start(steady_time()):
            self._reply_received(command)
        for message in self._greeting():
            self._step(message)
        self.ready = True
        while True:
            self._wake.wait(TICK)
            self._wake.clear()
            for message in self.outbox.take():
                self._step(message)
            steps = (self._tick, self._seal, self._report_storage, self._watch_clock)
            self._supervisor.rounds("analysis", steps)

    def _tick(self) -> None:
        for command in self._analysis.tick(steady_time()):
            self._reply_received(command)

    def _report_storage(self) -> None:
        report = self._analysis.storage.report(steady_time())
        if report is not None:
            LOG.warning("%s", storage_line(report))
            self._reply_received(report)

    def _step(self, message: Message) -> None:
        """Process one message; one that raises is counted and passed over."""
        with self._supervisor.surviving("analysis message"):
            self._process(message)

    def _process(self, message: Message) -> None:
        commands = list(self._analysis.step(message, steady_time()))
        if isinstance(message, PolicyApplied):
            policy = self._follower.follow(message)
            if policy is not None:
                commands += self._analysis.use_policy(policy, steady_time())
        for command in commands:
            self._reply_received(command)

    def close(self) -> None:
        self._analysis.finish(steady_time())
        self._sealing.close(steady_time())

    def _seal(self) -> None:
        self._sealing.tick(steady_time())

    def _watch_clock(self) -> None:
        self._steps.tick(steady_time(), CLOCK.system_ahead())

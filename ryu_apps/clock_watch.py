"""What the controller does about the clock: keep where it stands, log steps of the system's."""

from __future__ import annotations

import logging
from pathlib import Path

from analysis.clock.steady import CLOCK, KEEP_EVERY, steady_time
from analysis.clock.steps import StepWatch

LOG = logging.getLogger("septum")


class ClockWatch:
    """Looks at the system's clock, which nothing in this process goes by."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._steps = StepWatch()
        self._keep_at = 0.0
        self._problem: str | None = None

    def tick(self) -> None:
        """Call it now and then; a step that happened before the first call counts as one."""
        step = self._steps.look(CLOCK.system_ahead())
        if step is not None:
            LOG.warning("%s", step.line())
        if steady_time() >= self._keep_at:
            self._keep_at = steady_time() + KEEP_EVERY
            self._keep()

    def _keep(self) -> None:
        try:
            CLOCK.keep(self._state)
        except OSError as error:
            if self._problem is None:
                LOG.error("where the clock stands cannot be kept: %s", error.strerror)
            self._problem = error.strerror
        else:
            self._problem = None

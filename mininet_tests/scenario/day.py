"""Living through a benign day: requests go out when they are due, beside whatever else happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mininet_tests.lab.programs import LabPrograms
from mininet_tests.scenario.actions import PATIENCE, RequestResult, perform
from mininet_tests.scenario.schedule import Request

AT_ONCE = 8  # requests under way at the same time; more wait for their turn


class Day:
    """A running day. `finish` ends it after the requests under way, `abandon` at once."""

    def __init__(self, site: LabPrograms, requests: Sequence[Request]) -> None:
        self._site = site
        self._requests = requests
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._outcomes: list[RequestResult] = []
        self._broken: BaseException | None = None
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="benign")
        self.began = time.time()
        self._clock = threading.Thread(target=self._send, name="benign-clock", daemon=True)
        self._clock.start()

    @property
    def outcomes(self) -> tuple[RequestResult, ...]:
        """What is known so far, in order of completion."""
        with self._lock:
            return tuple(self._outcomes)

    def finish(self) -> tuple[RequestResult, ...]:
        """Send nothing more, wait for what is under way; every outcome."""
        self._over.set()
        self._clock.join(PATIENCE)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._broken is not None:
            raise self._broken
        return self.outcomes

    def abandon(self) -> None:
        """Send nothing more and wait for nothing."""
        self._over.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self) -> None:
        start = time.monotonic()
        for request in self._requests:
            if self._over.wait(max(0.0, start + request.at - time.monotonic())):
                return
            self._pool.submit(self._perform, request)

    def _perform(self, request: Request) -> None:
        if self._over.is_set():
            return
        try:
            outcome = perform(self._site, request)
        except BaseException as error:  # a defect of the lab must not pass for a quiet day
            if not self._over.is_set():
                self._broken = error
            return
        with self._lock:
            self._outcomes.append(outcome)

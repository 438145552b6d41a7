"""A real controller with a real analysis whose detector raises the alerts that it is given.

``python -m mininet_tests.experiments.forced_alerts SETTINGS`` is the controller (as ``ryu_apps``)
and starts
``python -m mininet_tests.experiments.forced_alerts analysis …`` as its analysis. Lines ``address
score hops`` in the
file `FORCED` of the state directory become alerts at once; nothing else raises any. Everything
after the alert is the product's own.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ryu_apps.app import SeptumApp

FORCED, FLOOD = "forced-alerts", "flood"


def controller(settings: str) -> int:
    from ryu_apps.__main__ import main  # patches the standard library before anything else
    from ryu_apps.app import SeptumApp
    from ryu_apps.ipc.analysis_link import AnalysisProgram
    from ryu_apps.launcher import launch
    from ryu_apps.runtime import hub

    class FloodingApp(SeptumApp):
        """Sends the records that the file `FLOOD` asks for, beside its work."""

        def start(self) -> None:
            super().start()
            self.threads.append(hub.spawn(_flood, self))

    analysis = AnalysisProgram(
        module="mininet_tests.experiments.forced_alerts_analysis", restart_after=0.05
    )
    sys.argv[1:] = [settings]
    return main(partial(launch, application=FloodingApp, analysis=analysis))


def _flood(app: SeptumApp) -> None:
    """Once the file `FLOOD` is there (``addresses a_second seconds``), send records that accuse the
    way that seen connections go: one by one into the queue to the analysis."""
    from response.ipc.messages import RecordsSeen
    from ryu_apps.runtime import hub
    from topology.records import FlowRecord

    asked = app.settings.state / FLOOD
    while not asked.exists():
        hub.sleep(0.05)
    count, rate, seconds = map(int, asked.read_text().split())
    assert app.link is not None
    began = time.monotonic()
    for number in range(rate * seconds):
        address = f"10.1.{number % count // 250}.{number % count % 250 + 1}"
        record = FlowRecord(
            time.time(), address, "10.0.0.250", "tcp", 4, 22, phase="start",
            intent="forced:0.9995:3",
        )  # fmt: skip
        app.link.send(RecordsSeen((record,)))
        hub.sleep(max(0.0, began + number / rate - time.monotonic()))


def accuse(state: Path, address: str, score: float, hops: int) -> None:
    """Have the analysis on ``state`` alert on ``address`` within a few hundredths of a second."""
    with open(state / FORCED, "a", encoding="utf-8") as lines:
        lines.write(f"{address} {score} {hops} {time.time()!r}\n")


if __name__ == "__main__":
    sys.exit(controller(sys.argv[1]))

"""A real controller with a real analysis whose detector accuses whom it is told to.

``python -m mininet_tests.experiments.forced_alerts SETTINGS`` is the controller (as ``ryu_apps``)
and starts
``python -m mininet_tests.experiments.forced_alerts analysis …`` as its analysis. Lines ``address
score hops`` in the
file `ACCUSED` of the state directory become alerts at once; nothing else raises any. Everything
after the alert is the product's own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

ACCUSED, FLOOD = "accused", "flood"


def controller(settings: str) -> int:
    from ryu_apps.__main__ import main  # patches the standard library before anything else
    from ryu_apps.ipc import analysis_link

    analysis_link.AnalysisLink.module = "mininet_tests.experiments.forced_alerts_analysis"
    analysis_link.RESTART_AFTER = 0.05
    _flood_when_told(Path(json.loads(settings)["state"]))
    sys.argv[1:] = [settings]
    return main()


def _flood_when_told(state: Path) -> None:
    """Once the file `FLOOD` says so (``addresses a_second seconds``), records that accuse go the
    way that seen connections go: one by one into the queue to the analysis."""
    from response.ipc.messages import RecordsSeen
    from ryu_apps import app as app_module
    from ryu_apps.app import SeptumApp
    from ryu_apps.runtime import hub
    from topology.records import FlowRecord

    usual = SeptumApp.start

    def flood(app: SeptumApp) -> None:
        while not (state / FLOOD).exists():
            hub.sleep(0.05)
        count, rate, seconds = map(int, (state / FLOOD).read_text().split())
        assert app.link is not None
        began = time.monotonic()
        for number in range(rate * seconds):
            address = f"10.1.{number % count // 250}.{number % count % 250 + 1}"
            record = FlowRecord(
                time.time(), address, "10.0.0.250", "tcp", 4, 22, phase="start",
                intent="accused:0.9995:3",
            )  # fmt: skip
            app.link.tell(RecordsSeen((record,)))
            hub.sleep(max(0.0, began + number / rate - time.monotonic()))

    def start(app: SeptumApp) -> None:
        usual(app)
        app.threads.append(hub.spawn(flood, app))

    vars(app_module)["SeptumApp"].start = start


def accuse(state: Path, address: str, score: float, hops: int) -> None:
    """Have the analysis on ``state`` alert on ``address`` within a few hundredths of a second."""
    with open(state / ACCUSED, "a", encoding="utf-8") as lines:
        lines.write(f"{address} {score} {hops} {time.time()!r}\n")


if __name__ == "__main__":
    sys.exit(controller(sys.argv[1]))

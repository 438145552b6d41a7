"""A real controller with a real analysis whose detector accuses whom it is told to.

``python -m mininet_tests.accused SETTINGS`` is the controller (as ``ryu_apps``) and starts
``python -m mininet_tests.accused analysis …`` as its analysis. Lines ``address score hops`` in the
file `ACCUSED` of the state directory become alerts at once; nothing else raises any. Everything
after the alert is the product's own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ACCUSED = "accused"


def controller(settings: str) -> int:
    from ryu_apps import analysis_link
    from ryu_apps.__main__ import main  # patches the standard library before anything else

    analysis_link.AnalysisLink.module = "mininet_tests.accused_analysis"
    analysis_link.RESTART_AFTER = 0.05
    sys.argv[1:] = [settings]
    return main()


def accuse(state: Path, address: str, score: float, hops: int) -> None:
    """Have the analysis on ``state`` alert on ``address`` within a few hundredths of a second."""
    with open(state / ACCUSED, "a", encoding="utf-8") as lines:
        lines.write(f"{address} {score} {hops} {time.time()!r}\n")


if __name__ == "__main__":
    sys.exit(controller(sys.argv[1]))

"""A controller in which something raises: ``faulty_controller.py FAULT SETTINGS``.

``SETTINGS`` is the JSON of `ryu_apps.launcher.LaunchSettings`; ``FAULT`` names one of `FAULTS`,
each of which raises a few times and then leaves the controller alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMES = 3
PROBLEM = "a fault for the test"


def raising(owner: Any, name: str) -> None:
    """Make the method raise the first `TIMES` times that it is called."""
    real, calls = getattr(owner, name), [0]

    def faulty(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] <= TIMES:
            raise RuntimeError(PROBLEM)
        return real(*args, **kwargs)

    setattr(owner, name, faulty)


def clock() -> None:
    from ryu_apps.core import Core

    raising(Core, "tick")


def analysis_link() -> None:
    from ryu_apps.ipc.analysis_link import AnalysisLink

    raising(AnalysisLink, "_run_once")


def control_socket() -> None:
    import ryu_apps.ipc.control_socket as door

    raising(door, "listen_locally")


def control_request() -> None:
    import ryu_apps.app as app

    raising(app, "handle")


def switch_event() -> None:
    from ryu_apps.core import Core

    raising(Core, "switch_up")


FAULTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (clock, analysis_link, control_socket, control_request, switch_event)
}


def main() -> int:
    from ryu_apps.__main__ import main as controller

    fault = sys.argv.pop(1)
    FAULTS[fault]()
    return controller()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.exit(main())

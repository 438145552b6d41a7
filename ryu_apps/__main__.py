"""The controller process: ``python -m ryu_apps SETTINGS`` with the settings as one JSON object.

``septum run`` checks its options and turns into this. It is a program of
its own because eventlet must patch the standard library before anything else
is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

try:
    from ryu_apps.runtime import patch_standard_library
except ImportError as error:  # no OpenFlow library: it says which to install
    if os.environ.get("SEPTUM_DEBUG"):
        raise
    print(f"septum: {error}", file=sys.stderr)
    sys.exit(2)

patch_standard_library()

from response.private_state import StateRefused  # noqa: E402
from response.state.store import StoreError  # noqa: E402
from ryu_apps.launcher import LaunchError, LaunchSettings, launch  # noqa: E402


def main(start: Callable[[LaunchSettings], None] = launch) -> int:
    """``start`` runs the controller with its settings."""
    try:
        start(LaunchSettings.from_json(sys.argv[1]))
    except (LaunchError, StateRefused, StoreError, OSError) as error:
        if os.environ.get("SEPTUM_DEBUG"):
            raise
        print(f"septum: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())

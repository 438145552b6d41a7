"""The controller process: ``python -m ryu_apps SETTINGS`` with the settings as one JSON object.

``septum run`` checks what it was told and turns into this. It is a program of
its own because eventlet must patch the standard library before anything else
is imported.
"""

from __future__ import annotations

import sys

from ryu_apps.runtime import patch_standard_library

patch_standard_library()

from ryu_apps.launcher import LaunchError, LaunchSettings, launch  # noqa: E402


def main() -> int:
    try:
        launch(LaunchSettings.from_json(sys.argv[1]))
    except LaunchError as error:
        print(f"septum: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

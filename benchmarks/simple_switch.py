"""Ryu's own learning switch, quiet: ``python -m benchmarks.simple_switch PORT``."""

from __future__ import annotations

import sys

from ryu_apps.runtime import patch_standard_library

patch_standard_library()

import logging  # noqa: E402

from ryu.app.simple_switch_13 import SimpleSwitch13  # noqa: E402

from ryu_apps.runtime import listen_and_run  # noqa: E402


class Quiet(SimpleSwitch13):  # type: ignore[misc]
    """As it is, but for the way `listen_and_run` ends what it runs."""

    def shut_down(self) -> None:
        self.stop()


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    listen_and_run(Quiet, "127.0.0.1", int(sys.argv[1]), lambda: False)


if __name__ == "__main__":
    main()

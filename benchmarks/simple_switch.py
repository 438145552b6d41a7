"""Ryu's own learning switch, quiet: ``python -m benchmarks.simple_switch PORT``."""

from __future__ import annotations

import sys

from ryu_apps.runtime import patch_standard_library

patch_standard_library()

import logging  # noqa: E402

from ryu.app.simple_switch_13 import SimpleSwitch13  # noqa: E402

from ryu_apps.runtime import controller, hub, run_application  # noqa: E402


class Quiet(SimpleSwitch13):  # type: ignore[misc]
    """As it is, but for the way `run_application` ends what it runs."""

    def shut_down(self) -> None:
        self.stop()


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    run_application(Quiet, listen, lambda: False)


def listen(_app: Quiet) -> None:
    """Ryu's own listener and reader."""
    controller.CONF.set_override("ofp_listen_host", "127.0.0.1")
    controller.CONF.set_override("ofp_tcp_listen_port", int(sys.argv[1]))
    hub.spawn(controller.OpenFlowController())


if __name__ == "__main__":
    main()

"""Ryu's own learning switch, quiet: ``python -m benchmarks.programs.simple_switch PORT``."""

from __future__ import annotations

import logging
import sys
from typing import Any


def main() -> None:
    """Everything is imported here: the runtime patches the standard library of who imports it."""
    from ryu_apps import runtime

    runtime.patch_standard_library()
    from ryu.app.simple_switch_13 import SimpleSwitch13

    class Quiet(SimpleSwitch13):  # type: ignore[misc]
        """As it is, but for the way `run_application` ends what it runs."""

        def shut_down(self) -> None:
            self.stop()

    def listen(_app: Any) -> None:
        """Ryu's own listener and reader."""
        runtime.controller.CONF.set_override("ofp_listen_host", "127.0.0.1")
        runtime.controller.CONF.set_override("ofp_tcp_listen_port", int(sys.argv[1]))
        runtime.hub.spawn(runtime.controller.OpenFlowController())

    logging.basicConfig(level=logging.WARNING)
    runtime.run_application(Quiet, listen, lambda: False)


if __name__ == "__main__":
    main()

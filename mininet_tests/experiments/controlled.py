"""A lab with a controller on it, both gone when the block ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mininet_tests.lab.controller import Controller, ControllerOptions, free_port
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import plan_from_policy
from policies.language.reader import load_policy
from topology.records import Link


@contextmanager
def controlled(
    policy_text: str,
    links: Sequence[Link],
    extra: tuple[str, ...] = (),
    run_on: str | None = None,
) -> Iterator[tuple[Lab, Controller]]:
    """The policy's hosts on real switches, and ``septum run`` ready on that policy, or on
    ``run_on``, which may declare less than there is."""
    with TemporaryDirectory(prefix="septum-") as name:
        directory = Path(name)
        path = directory / "policy.yaml"
        path.write_text(policy_text)
        port = free_port()
        plan = plan_from_policy(load_policy([path]), links)
        path.write_text(policy_text if run_on is None else run_on)
        with Lab(plan, f"tcp:127.0.0.1:{port}") as lab:
            options = ControllerOptions(
                path, directory / "state", port, len(plan.switches), extra=extra
            )
            options.state.mkdir()
            controller = Controller(options, directory)
            try:
                controller.start()
                controller.wait_ready()
                yield lab, controller
            finally:
                controller.stop()

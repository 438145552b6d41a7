"""A controller process without an analysis, for switches in software to connect to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console.clients.controller import ask_controller
from mininet_tests.lab.controller import ROOT, Controller, ControllerOptions, free_port

POLICY = ROOT / "policies" / "examples" / "shop.yaml"

WITHOUT_SWITCHES = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: small}
hosts: {a: {ip: [10.0.0.1], labels: {role: desk}}}
segments: {office: {members: [{labels: {role: desk}}]}}
intents: [{name: all, from: office, to: office, services: [tcp], action: allow}]
defaults: {action: deny, mode: enforce}
"""


def policy_without_switches(directory: Path) -> Path:
    """A policy file with which a controller is ready before any switch connects."""
    path = directory / "without-switches.yaml"
    path.write_text(WITHOUT_SWITCHES, encoding="utf-8")
    return path


@contextmanager
def running(directory: Path, *extra: str, switches: int = 0) -> Iterator[Controller]:
    state = directory / "state"
    options = ControllerOptions(
        POLICY, state, free_port(), switches, extra=("--analysis", "none", *extra)
    )
    controller = Controller(options, directory)
    controller.start()
    try:
        yield controller
    finally:
        controller.kill()


def status(controller: Controller) -> dict[str, Any]:
    return ask_controller(controller.options.state, {"do": "status"})


def until(controller: Controller, seconds: float, wanted: Any) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if wanted():
                return
        except Exception:  # it may not listen yet
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, controller.log[-2000:]
        time.sleep(0.05)

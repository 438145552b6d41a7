"""Test settings for every room: live tests are marked by their folder and say what they need."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent

# Machines share cores with other work: an example's time says nothing about correctness.
settings.register_profile("septum", deadline=None)
settings.register_profile("fast", settings.get_profile("septum"), max_examples=20)
settings.load_profile("septum")  # `make test FAST=1` asks for the other one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROOT / "mininet_tests" in item.path.parents:
            item.add_marker(pytest.mark.live)


def missing_for_live() -> str | None:
    if os.geteuid() != 0:
        return "root"
    try:
        subprocess.run(
            ["ovs-vsctl", "--timeout=5", "--no-wait", "show"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "a running Open vSwitch"
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    if any(item.get_closest_marker("live") for item in session.items):
        missing = missing_for_live()
        if missing:
            pytest.exit(
                f"live tests need {missing}: run `make test` as root, or `make test FAST=1`",
                returncode=2,
            )

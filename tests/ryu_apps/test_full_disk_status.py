"""Both processes on a file system without room: it is said, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import run
from mininet_tests.lab.controller import Controller, ControllerOptions, free_port
from response.state.store import Store
from tests.support.running_controller import POLICY, status, until

pytestmark = [
    pytest.mark.threat("disk"),
    pytest.mark.thorough,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system"),
]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "septum-test", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Take all room that is left."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_a_full_disk_is_said_by_both_and_over_when_there_is_room(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = small / "state"
    controller = Controller(ControllerOptions(POLICY, state, free_port(), 0), tmp_path)
    controller.start()
    try:
        controller.wait_ready()
        ballast = fill(small)
        other = Store.open(state, time.time())
        with pytest.raises(Exception, match="cannot be written"):
            other.save_snapshot(1.0, "x", bytes(100_000))
        other.close()
        pid = status(controller)["analysis"]["pid"]

        def analysis() -> dict[str, object]:
            found: dict[str, object] = status(controller)["analysis"]["storage"]
            return found

        os.kill(pid, 15)  # its last snapshot does not fit; the next one starts without room
        until(controller, 30, lambda: status(controller)["analysis"]["restarts"] == 1)
        until(controller, 30, lambda: status(controller)["analysis"]["ready"])
        until(controller, 30, lambda: analysis()["problem"] is not None)
        capfd.readouterr()
        assert run(["status", "--state", str(state)]) == 0
        assert "storage    analysis: " in capfd.readouterr().out
        assert "detection goes on in memory" in controller.log
        ballast.unlink()
        until(controller, 40, lambda: analysis()["problem"] is None)
        assert status(controller)["analysis"]["restarts"] == 1
        assert run(["audit", "list", "--state", str(state), "--kind", "storage"]) == 0
        assert "stored again after" in capfd.readouterr().out
        assert "Traceback" not in controller.log
    finally:
        controller.kill()

"""Programs that Septum starts do not import what the working directory or environment holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.house.structure import PRODUCT, module_lengths
from mininet_tests.lab.controller import ROOT, Controller, ControllerOptions, free_port
from tests.support.running_controller import policy_without_switches

pytestmark = [pytest.mark.thorough, pytest.mark.threat("child-imports")]

SEPTUM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from console.cli import main; main()"
PLANTED = """
import os, pathlib
with open(pathlib.Path({mark!r}), "a") as mark:
    print(__name__, os.getpid(), file=mark)
"""


def test_nothing_else_starts_an_interpreter() -> None:
    started = {
        name
        for name in module_lengths(ROOT, (*PRODUCT, "mininet_tests/lab", "mininet_tests/scenario"))
        if re.search(r"sys\.executable|python3?\", \"-m", (ROOT / name).read_text(encoding="utf-8"))
    }
    assert started == {"analysis/python_program.py"}


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with modules that somebody else put there."""
    folder = tmp_path / "planted"
    (folder / "analysis").mkdir(parents=True)
    mark = str(folder / "imported")
    for name in ("msgspec.py", "analysis/__init__.py", "sitecustomize.py", "usercustomize.py",
                 "json.py", "startup.py"):  # fmt: skip
        (folder / name).write_text(PLANTED.format(mark=mark))
    return folder


def imported(planted: Path) -> str:
    mark = planted / "imported"
    return mark.read_text() if mark.exists() else ""


@contextmanager
def septum_run(tmp_path: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """``septum run`` as an installed script starts it, whose own imports are its own affair."""
    policy = str(policy_without_switches(tmp_path))
    words = ["run", "--policy", policy, "--state", str(tmp_path / "state"),
             "--of-port", str(free_port()), "--ready-file", str(tmp_path / "ready")]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", SEPTUM, *words],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options,  # type: ignore[call-overload]
    )  # fmt: skip
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "ready").exists() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_the_controller_and_the_analysis_do_not_import_from_the_working_directory(
    tmp_path: Path, planted: Path
) -> None:
    with septum_run(tmp_path, cwd=planted) as process:
        assert process.poll() is None and (tmp_path / "ready").exists()
    assert imported(planted) == ""


def test_nor_from_where_the_environment_names(tmp_path: Path, planted: Path) -> None:
    environment = {
        **os.environ, "PYTHONPATH": str(planted), "PYTHONSTARTUP": str(planted / "startup.py"),
        "PYTHONUSERBASE": str(planted), "HOME": str(planted), "PYTHONINSPECT": "1",
    }  # fmt: skip
    with septum_run(tmp_path, env=environment) as process:
        assert process.poll() is None and (tmp_path / "ready").exists()
    assert imported(planted) == ""


def test_nor_do_the_programs_of_the_lab(
    tmp_path: Path, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab's controller, as the demo starts it from wherever somebody stands."""
    monkeypatch.chdir(planted)
    monkeypatch.setenv("PYTHONPATH", str(planted))
    options = ControllerOptions(
        policy_without_switches(tmp_path), tmp_path / "state", free_port(), 0
    )
    controller = Controller(options, tmp_path)
    controller.start()
    try:
        controller.wait_ready(30)
    finally:
        controller.kill()
    assert imported(planted) == ""

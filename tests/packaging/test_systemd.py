"""The unit file starts what there is, with options that there are."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from console.cli import run

UNIT = Path(__file__).parents[2] / "packaging" / "systemd" / "septum.service"


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_it_runs_the_command_with_options_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(unit()["Service"]["ExecStart"])
    assert Path(words[0]).name == "septum" and words[1] == "run"
    assert run(["run", "--help"]) == 0
    known = capsys.readouterr().out
    options = [word for word in words if word.startswith("--")]
    assert options and all(option in known for option in options)


def test_its_state_is_its_own() -> None:
    service = unit()["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[words.index("--state") + 1] == f"/var/lib/{service['StateDirectory']}"
    assert service["StateDirectoryMode"] == "0700"
    assert service["User"] not in ("", "root")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_it(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    copy.write_text(text.replace("/opt/septum/bin/septum", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip() == ""

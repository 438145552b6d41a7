"""The audit anchored outside: checkpoints elsewhere are compared, old segments are followed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from response.audit import checkpoints
from response.audit.log import Audit
from response.audit.signing import signer_of
from response.state.store import FILE, Store

pytestmark = pytest.mark.threat("audit-anchor")
DAY = 86_400.0


def record(directory: Path, days: int, first: int = 0) -> list[str]:
    """Ten entries and a checkpoint a day; the checkpoints as syslog lines."""
    store = Store.open(directory, 1.0)
    audit = Audit(store, signer_of(directory, lambda size: bytes(range(size))), directory)
    lines = []
    for day in range(first, first + days):
        for number in range(10):
            audit.append(day * DAY + number, "hold", {"on": True, "by": "ana"})
        made = audit.seal(day * DAY + 100)
        assert made is not None
        lines.append(f"Jan  {day + 1} 00:01:40 ctl septum[1]: {checkpoints.line(made)}\n")
    store.close()
    return lines


@pytest.fixture
def septum(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> tuple[int, str]:
        code = run([str(each) for each in arguments])
        out, err = capfd.readouterr()
        return code, out + err

    return call


def test_a_log_of_checkpoints_shows_a_record_set_back(tmp_path: Path, septum: Any) -> None:
    state, log = tmp_path / "state", tmp_path / "syslog"
    lines = record(state, 3)
    log.write_text("a line of something else {}\n" + "".join(lines[:2]))
    code, out = septum("audit", "verify", "--state", state, "--witness", log)
    assert code == 0
    assert "witnessed up to entry 21" in out and "entries 22 to 33" in out
    shutil.copytree(state, tmp_path / "old")
    later = record(state, 2, first=3)
    log.write_text("".join(lines + later))
    code, out = septum("audit", "verify", "--state", tmp_path / "old", "--witness", log)
    assert code == 1 and "checkpoint 5 was made at entry 55" in out
    record(tmp_path / "old", 2, first=7)  # it goes on from the old copy: the same numbers anew
    code, out = septum("audit", "verify", "--state", tmp_path / "old", "--witness", log)
    assert code == 1 and "written anew" in out


def test_old_segments_are_archived_and_followed(tmp_path: Path, septum: Any) -> None:
    state = tmp_path / "state"
    record(state, 5)
    before = (state / FILE).stat().st_size
    archive = tmp_path / "old.jsonl"
    code, out = septum(
        "audit", "archive", "--before", "1970-01-03", "--to", archive, "--state", state
    )
    assert code == 0 and "entries 1 to 22" in out
    assert archive.stat().st_mode & 0o777 == 0o600
    assert (state / FILE).stat().st_size <= before + 4096
    code, out = septum("audit", "verify", "--state", state)
    assert code == 0 and "whole: 56 entries" in out
    moved = archive.rename(tmp_path / "elsewhere.jsonl")
    code, out = septum("audit", "verify", "--state", state)
    assert code == 1 and "entries 1 to 22" in out and "--archive" in out
    assert septum("audit", "verify", "--state", state, "--archive", moved)[0] == 0
    moved.write_text(moved.read_text().replace("ana", "bob"))
    assert septum("audit", "verify", "--state", state, "--archive", moved)[0] == 1

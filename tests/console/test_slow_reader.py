"""A command whose output nobody reads keeps nothing open in the store."""

from __future__ import annotations

import array
import fcntl
import sqlite3
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from response.audit.log import Audit
from response.state.interfaces import StoredFlow
from response.state.store import FILE, Store
from topology.records import FlowRecord

pytestmark = [pytest.mark.threat("slow-export"), pytest.mark.thorough]
ROOT = Path(__file__).parents[2]
FULL = 50_000  # bytes, of the 65,536 of a pipe whose pages are not all filled


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("slow") / "state"
    store = Store.open(directory, 1.0)
    audit = Audit(store)
    with store.transaction():
        for number in range(5000):
            audit.append(float(number), "switch", {"switch": 1, "what": "x", "detail": "y" * 200})
        store.append_flows(
            StoredFlow(FlowRecord(float(n), "10.0.0.1", "10.0.0.2", "tcp", 4, 22))
            for n in range(5000)
        )
    store.close()
    return directory


@pytest.mark.parametrize(
    "command",
    [
        "audit export --format jsonl",
        "audit export --format ocsf",
        "audit export --format cef",
        "audit list --last 0",
        "flows --last 5000",
        "flows --last 5000 --follow --json",
    ],
)
def test_a_slow_reader_does_not_hold_up_the_log(state: Path, command: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "console", *command.split(), "--state", str(state)],
        cwd=ROOT, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        waiting = array.array("i", [0])
        until = time.monotonic() + 30
        while waiting[0] < FULL and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
            fcntl.ioctl(process.stdout, termios.FIONREAD, waiting)
        try:
            assert waiting[0] >= FULL, "it writes less than a pipe holds"
            raw = sqlite3.connect(state / FILE, timeout=2.0)
            raw.execute("INSERT OR REPLACE INTO meta VALUES('test', ?)", (command,))
            raw.commit()
            busy, frames, moved = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            raw.close()
            assert (busy, frames, moved) == (0, 0, 0), (
                "all of the log was moved, and cut to nothing"
            )
        finally:
            process.kill()

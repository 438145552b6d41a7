"""`audit verify` of evidence: a copy that nobody may write, which stays as it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from response.audit.log import Audit
from response.state.store import Store

pytestmark = pytest.mark.threat("file-scope")
ROOT = Path(__file__).parents[3]
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
"""root without the right to pass over the modes of files."""


def septum(*arguments: str) -> subprocess.CompletedProcess[str]:
    prefix = UNPRIVILEGED if os.geteuid() == 0 else []
    return subprocess.run(
        [*prefix, sys.executable, "-m", "console", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def digests(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


@pytest.mark.parametrize("with_log", [False, True])
def test_verify_works_on_a_copy_that_cannot_be_written(tmp_path: Path, with_log: bool) -> None:
    store = Store.open(tmp_path / "state", 1.0)
    Audit(store).append(1.0, "started", {"adapt": True, "active": []})
    if not with_log:
        store.close()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("septum.db", "septum.db-wal") if with_log else ("septum.db",):
        shutil.copy(tmp_path / "state" / name, copy)
    for path in copy.iterdir():
        path.chmod(0o400)
    copy.chmod(0o500)
    before = digests(copy)
    try:
        done = septum("audit", "verify", "--state", str(copy))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("whole: 1 entries")
        assert digests(copy) == before
    finally:
        copy.chmod(0o700)

"""`septum state`: backup while it runs, restore, check, and what every command prints of damage."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from response.audit.log import Audit
from response.audit.signing import signer_of
from response.state.interfaces import StoredFlow
from response.state.store import FILE, Store
from topology.records import FlowRecord

pytestmark = pytest.mark.threat("disk")
PAGE = 4096


def fill(directory: Path) -> Store:
    """A state with some of everything that commands read; the store is still open."""
    store = Store.open(directory, 1.0)
    audit = Audit(store, signer_of(directory, random.Random(1).randbytes), directory)
    with store.transaction():
        for number in range(300):
            data = {"switch": 1, "what": "connected", "detail": "z" * 100}
            audit.append(float(number), "switch", data)
        store.append_flows(
            StoredFlow(FlowRecord(float(n), "10.0.0.1", "10.0.0.2", "tcp", 4, 22))
            for n in range(300)
        )
    audit.seal(400.0)
    return store


@pytest.fixture
def state(tmp_path: Path) -> Path:
    fill(tmp_path / "state").close()
    return tmp_path / "state"


@pytest.fixture
def septum(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = run([str(each) for each in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


COMMANDS = ("audit list", "audit verify", "audit export", "flows", "decisions list", "models list")
DAMAGE = ("header", "schema", "middle", "every other page", "cut", "log")


def damage(state: Path, how: str) -> None:
    """Overwrite pages of the database, as a failing disk does."""
    path = state / FILE
    data = bytearray(path.read_bytes())
    noise = random.Random(7)
    if how == "log":  # a log whose frames are whole, and whose pages are not
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA wal_autocheckpoint=0")
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute("UPDATE sqlite_schema SET rootpage=2 WHERE name IN ('audit','flows','meta')")
        raw.execute("UPDATE sqlite_schema SET rootpage=3 WHERE name IN ('decisions','snapshots')")
        raw.commit()
        copied = (Path(f"{path}-wal").read_bytes(), path.read_bytes())
        raw.close()
        Path(f"{path}-wal").write_bytes(copied[0])
        path.write_bytes(copied[1])
        return
    if how == "header":
        data[:PAGE] = noise.randbytes(PAGE)
    elif how == "schema":
        data[100:PAGE] = noise.randbytes(PAGE - 100)
    elif how == "middle":
        data[PAGE:] = noise.randbytes(len(data) - PAGE)
    elif how == "every other page":
        for at in range(PAGE, len(data), 2 * PAGE):
            data[at : at + PAGE] = noise.randbytes(PAGE)
    else:
        del data[2 * PAGE + 17 :]
    path.write_bytes(data)


@pytest.mark.xfail(strict=True, reason="it is not said what to do about damage")
def test_a_damaged_database_is_one_line_with_what_to_do(tmp_path: Path, septum: Any) -> None:
    said = 0
    for how in DAMAGE:
        state = tmp_path / how
        fill(state).close()
        damage(state, how)
        for command in COMMANDS:
            code, _, err = septum(*command.split(), "--state", state)
            assert "internal error" not in err and "Traceback" not in err, (how, command)
            assert err.count("\n") <= 1, (how, command)
            if code == 2:
                assert "septum state check" in err and "septum state restore" in err, (how, command)
                said += 1
        code, out, err = septum("state", "check", "--state", state)
        assert code == 1 and "NOT sound" in out, (how, out, err)
    assert said >= 2 * len(DAMAGE)


@pytest.mark.xfail(strict=True, reason="there is no backup")
def test_a_backup_taken_while_it_is_written_is_restored_whole(tmp_path: Path, septum: Any) -> None:
    store = fill(tmp_path / "state")
    kept = tmp_path / "kept.backup"
    code, out, _ = septum("state", "backup", kept, "--state", tmp_path / "state")
    assert code == 0 and "audit.key" in out
    assert kept.stat().st_mode & 0o777 == 0o600
    store.close()
    damage(tmp_path / "state", "header")
    assert septum("state", "restore", kept, "--state", tmp_path / "state")[0] == 0
    code, out, _ = septum("audit", "verify", "--state", tmp_path / "state")
    assert code == 0 and "signed up to entry 300" in out
    assert septum("state", "check", "--state", tmp_path / "state")[0] == 0

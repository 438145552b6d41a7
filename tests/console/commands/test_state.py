"""`septum state`: backup while it runs, restore, check, and what every command prints of damage."""

from __future__ import annotations

import fcntl
import random
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from console.cli import run
from mininet_tests.lab.controller import Controller, ControllerOptions, free_port
from response.audit.log import Audit
from response.audit.signing import signer_of
from response.state.interfaces import StoredFlow
from response.state.store import FILE, Store
from tests.support.full_disk import full_disk
from tests.support.running_controller import POLICY, until
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
        Path(f"{path}-wal").chmod(0o600)
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


def test_a_controller_does_not_start_on_damage_and_says_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path / "state").close()
    damage(tmp_path / "state", "middle")
    options = ControllerOptions(POLICY, tmp_path / "state", free_port(), 0)
    controller = Controller(options, tmp_path)
    controller.start()
    try:
        until(controller, 20, lambda: not controller.running)
    finally:
        controller.kill()
    (line,) = (each for each in controller.log.splitlines() if each.startswith("septum: "))
    assert "is damaged" in line and "`septum state restore FILE`" in line
    assert "Traceback" not in controller.log


def test_a_backup_taken_while_it_is_written_is_restored_whole(tmp_path: Path, septum: Any) -> None:
    store = fill(tmp_path / "state")
    audit = Audit(store, signer_of(tmp_path / "state"), tmp_path / "state")
    kept = tmp_path / "kept.backup"
    stop = Event()

    def write() -> None:
        writer = Store.open(tmp_path / "state", 2.0)
        while not stop.is_set():
            Audit(writer).append(500.0, "hold", {"on": True, "by": "ana"})
        writer.close()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        code, out, _ = septum("state", "backup", kept, "--state", tmp_path / "state")
        stop.set()
        writing.result()
    assert code == 0 and "audit.key" in out and "audit.checkpoint" in out
    assert kept.stat().st_mode & 0o777 == 0o600
    audit.seal(600.0)
    store.close()
    damage(tmp_path / "state", "header")
    code, out, _ = septum("state", "restore", kept, "--state", tmp_path / "state")
    assert code == 0 and "damaged-" in out
    (aside,) = (tmp_path / "state").glob("damaged-*")
    assert (aside / FILE).exists() and (aside / "audit.key").exists()
    code, out, _ = septum("audit", "verify", "--state", tmp_path / "state")
    assert code == 0 and "signed up to entry 300" in out
    assert septum("state", "check", "--state", tmp_path / "state")[0] == 0
    assert len(Store.open(tmp_path / "state", 1.0).flows()) == 300


def test_a_backup_goes_into_a_new_place_and_never_over_a_sound_state(
    tmp_path: Path, septum: Any
) -> None:
    fill(tmp_path / "state").close()
    kept = tmp_path / "kept.backup"
    septum("state", "backup", kept, "--state", tmp_path / "state")
    assert septum("state", "restore", kept, "--state", tmp_path / "new")[0] == 0
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "audit.key").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "new" / FILE).read_bytes()
    code, _, err = septum("state", "restore", kept, "--state", tmp_path / "new")
    assert code == 2 and "the state there is sound" in err
    with (tmp_path / "new" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = septum("state", "restore", kept, "--state", tmp_path / "new")
        assert code == 2 and "is in use" in err
    assert (tmp_path / "new" / FILE).read_bytes() == before
    code, _, err = septum("state", "backup", kept, "--state", tmp_path / "state")
    assert code == 2 and "exists already" in err


def test_a_backup_is_whole_or_not_there(tmp_path: Path, septum: Any) -> None:
    fill(tmp_path / "state").close()
    kept = tmp_path / "kept.backup"
    with full_disk():
        code, _, err = septum("state", "backup", kept, "--state", tmp_path / "state")
    assert code == 2 and err.count("\n") == 1 and "Traceback" not in err
    damage(tmp_path / "state", "every other page")
    code, _, err = septum("state", "backup", kept, "--state", tmp_path / "state")
    assert code == 2 and "is damaged" in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["state"]


def test_what_is_no_backup_changes_nothing(tmp_path: Path, septum: Any) -> None:
    fill(tmp_path / "state").close()
    kept = tmp_path / "kept.backup"
    septum("state", "backup", kept, "--state", tmp_path / "state")
    bad = {
        "empty": b"",
        "noise": random.Random(3).randbytes(20_000),
        "half": kept.read_bytes()[: kept.stat().st_size // 2],
        "a database": (tmp_path / "state" / FILE).read_bytes(),
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    shutil.copy(kept, tmp_path / "climbing")
    with closing(sqlite3.connect(tmp_path / "climbing")) as raw, raw:
        raw.execute("UPDATE backup_files SET name='../../evil.key' WHERE name='audit.key'")
    for name in (*bad, "climbing"):
        code, _, err = septum("state", "restore", tmp_path / name, "--state", tmp_path / "new")
        assert (code, err.count("\n")) == (2, 1), name
        assert "no backup that can be used" in err, name
    assert not (tmp_path / "new").exists()

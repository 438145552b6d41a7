"""Every command that opens a state directory refuses one that is not private, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.cli import command_tree, run
from mininet_tests.lab.controller import ROOT, free_port
from response.state.store import Store
from tests.support.running_controller import POLICY

pytestmark = pytest.mark.threat("state-directory")

SOMEBODY = 65534
NEEDS: dict[str, list[str]] = {
    "run": ["--policy", str(POLICY), "--of-port"],
    "policy verify": [str(POLICY), "--switch", "1", "--rules"],
    "policy trace": [str(POLICY), "--from", "web1", "--to", "db1", "--service", "tcp/80"],
    "switches release": ["1"],
    "switches take": ["1"],
    "collect": ["--netflow"],
    "audit archive": ["--before", "2026-01-02", "--to", "/nowhere/archive.jsonl"],
    "policy stage": [str(POLICY)],
    "policy apply": [str(POLICY)],
}
"""What commands need beside ``--state``, unless it is an id."""

MAKE_THEIR_OWN = {"replay"}  # wants a directory that is new or empty


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    Store.open(made, 1.0).close()
    return made


def commands(command: Any, path: str = "") -> Iterator[str]:
    """Names of commands that take ``--state``."""
    for name in command.list_commands(None):
        child = command.get_command(None, name)
        if hasattr(child, "list_commands"):
            yield from commands(child, f"{path}{name} ")
        elif any("--state" in each.opts for each in child.params):
            yield f"{path}{name}"


COMMANDS = sorted(set(commands(command_tree())) - MAKE_THEIR_OWN)


def call(state: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    words = [*name.split(), *NEEDS.get(name, []), "--state", str(state)]
    if name == "policy verify":
        rules = state.parent / "rules"
        rules.write_text("table=0,priority=1 actions=drop\n")
        words.insert(-2, str(rules))
    if name == "collect":
        words.insert(-2, f"127.0.0.1:{free_port()}")
    if name == "state restore":
        backup, sound = state.parent / "backup", state.parent / "sound"
        Store.open(sound, 1.0).close()
        assert run(["state", "backup", str(backup), "--state", str(sound)]) == 0
        words.insert(-2, str(backup))
    if name == "run":  # turns into another program
        words.insert(-2, str(free_port()))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "console", *words],
                cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 0, "it runs"
        return done.returncode, done.stderr
    code = run(words)
    if code == 2 and "missing argument" in (said := capsys.readouterr().err).lower():
        return call_with_id(state, words, capsys)
    return code, said if code == 2 else ""


def call_with_id(
    state: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    return run([*words, "d1"]), capsys.readouterr().err


def refusal(state: Path, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command printed, which concerns the directory."""
    code, said = call(state, name, capsys)
    assert code == 2, said
    (line,) = said.splitlines()
    assert str(state) in line
    return line


@pytest.mark.parametrize("name", COMMANDS)
def test_one_that_others_may_write_to_is_refused_with_the_command_that_mends_it(
    name: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.chmod(0o777)
    assert f"chmod -R go= {state}" in refusal(state, name, capsys)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to somebody else")
@pytest.mark.parametrize("name", COMMANDS)
def test_one_that_belongs_to_somebody_else_is_refused(
    name: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chown(state, SOMEBODY, SOMEBODY)
    assert f"chown -R root {state}" in refusal(state, name, capsys)


@pytest.mark.parametrize(
    ("file", "mode"), [("septum.db", 0o644), ("audit.key", 0o640), ("discovery.key", 0o604),
                       ("owner.id", 0o622), ("policies", 0o755), ("septum.db-wal", 0o666)]
)  # fmt: skip
def test_what_lies_in_it_must_be_private_too(
    file: str, mode: int, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = state / file
    if file == "policies":
        path.mkdir()
    elif not path.exists():
        path.write_bytes(b"")
    path.chmod(mode)
    for name in ("decisions list", "feeds list", "status"):
        assert f"chmod -R go= {state}" in refusal(state, name, capsys)


@pytest.mark.parametrize("name", ["septum.db", "audit.key", "discovery.key", "lock", "feeds"])
def test_a_link_in_it_is_refused(
    name: str, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    if (state / name).exists():
        (state / name).rename(elsewhere)
    (state / name).symlink_to(elsewhere)
    assert f"rm {state / name}" in refusal(state, "decisions list", capsys)
    assert not (state / "feeds").is_dir()


def test_a_directory_that_is_a_link_is_refused(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "link"
    link.symlink_to(state)
    assert f"--state {state}" in refusal(link, "decisions list", capsys)


def test_a_parent_in_which_others_may_rename_it_is_refused(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o777)
    assert f"chmod go-w {tmp_path}" in refusal(state, "decisions list", capsys)
    tmp_path.chmod(0o1777)
    assert run(["decisions", "list", "--state", str(state)]) == 0


def test_one_that_an_older_version_left_readable_is_made_private_once(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "private").unlink()
    state.chmod(0o755)
    assert run(["decisions", "list", "--state", str(state)]) == 0
    assert state.stat().st_mode & 0o777 == 0o700
    state.chmod(0o755)
    capsys.readouterr()
    assert f"chmod -R go= {state}" in refusal(state, "decisions list", capsys)


@pytest.mark.parametrize("name", ["discovery.key", "owner.id"])
@pytest.mark.parametrize("content", [b"", b"short", b"x" * 200])
def test_a_key_of_another_length_is_refused(
    name: str, content: bytes, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / name).write_bytes(content)
    (state / name).chmod(0o600)
    line = refusal(state, "run", capsys)
    assert name in line and "Traceback" not in line
    assert (state / name).read_bytes() == content

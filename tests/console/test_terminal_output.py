"""What comes from the network, a name, a feed or a policy never steers the reader's terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from console import cli
from console.cli import run
from console.errors import CommandError
from response.state.interfaces import StoredFlow
from response.state.store import Store
from topology.records import FlowRecord

pytestmark = pytest.mark.threat("claimed-names")

STEERING = "tcp\x1b]0;owned\x07\x1b[2J\x9b31m\r‮gpj"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = Store.open(tmp_path, 1000.0)
    record = FlowRecord(1000.0, "10.0.0.1", "10.0.0.2", STEERING, 1, 2, intent=STEERING)
    store.append_flows([StoredFlow(record, 0.5)])
    store.close()
    return tmp_path


def _steers(text: str) -> bool:
    return any(not c.isprintable() for c in text.replace("\n", "").replace("\t", ""))


def test_flows_cannot_steer_the_terminal(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["flows", "--state", str(state)]) == 0
    printed = capsys.readouterr().out
    assert "10.0.0.1" in printed and "owned" in printed
    assert not _steers(printed)


def test_a_value_cannot_pretend_to_be_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(tmp_path, 1000.0)
    record = FlowRecord(1000.0, "10.0.0.1", "10.0.0.2", "tcp\n2026-01-01 all is well", 1, 2)
    store.append_flows([StoredFlow(record, None)])
    store.close()
    assert run(["flows", "--state", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("err", [False, True])
def test_nor_can_any_other_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], err: bool
) -> None:
    def says(septum: object, ctx: object, name: str) -> typer.core.TyperCommand:
        def command() -> None:
            typer.echo(STEERING, err=err)
            if err:
                raise CommandError(STEERING)

        app = typer.Typer()
        app.command("says")(command)
        made = typer.main.get_command(app)
        assert isinstance(made, typer.core.TyperCommand)
        return made

    monkeypatch.setattr(cli.Septum, "get_command", says)
    run(["says"])
    printed = "".join(capsys.readouterr())
    assert "owned" in printed and not _steers(printed)

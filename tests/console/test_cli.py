"""The command line is a contract: every command explains itself, errors are one line."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from console import cli
from console.errors import CommandError, exit_code, explain
from policies.language.errors import Diagnostic, PolicyError
from policies.model import Source

ROOT = Path(__file__).parents[2]


def septum(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module")
def command_docs() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "command_docs.py"))


@pytest.fixture(scope="module")
def tree(command_docs: dict[str, Any]) -> list[tuple[Any, Any]]:
    return list(command_docs["commands"]())


def test_every_promised_command_is_there(tree: list[tuple[Any, Any]]) -> None:
    paths = {context.command_path for context, _ in tree}
    promised = {
        "septum run",
        "septum demo",
        "septum lab",
        "septum policy check",
        "septum policy compile",
        "septum policy trace",
        "septum detect",
        "septum flows",
        "septum decisions list",
        "septum decisions show",
        "septum decisions release",
        "septum audit list",
        "septum audit verify",
        "septum switches",
        "septum status",
    }
    assert promised <= paths


def test_every_command_has_help_with_an_example_of_itself(tree: list[tuple[Any, Any]]) -> None:
    without = [
        context.command_path
        for context, command in tree
        if not re.search(
            rf"Examples?:.*{re.escape(context.command_path)}", command.help or "", re.S
        )
    ]
    assert without == []


def test_every_option_is_explained(tree: list[tuple[Any, Any]]) -> None:
    silent = [
        f"{context.command_path} {parameter.name}"
        for context, command in tree
        for parameter in command.get_params(context)
        if parameter.name != "help" and not getattr(parameter, "help", None)
    ]
    assert silent == []


def test_the_manual_is_the_help(command_docs: dict[str, Any]) -> None:
    written = command_docs["PAGE"].read_text(encoding="utf-8")
    assert written == command_docs["page"](), "run `make docs`"


def test_commands_that_print_data_can_print_json(tree: list[tuple[Any, Any]]) -> None:
    data = {"septum policy trace", "septum policy check", "septum flows", "septum decisions list"}
    data |= {"septum audit list", "septum switches", "septum status", "septum decisions show"}
    for context, command in tree:
        if context.command_path in data:
            options = [name for p in command.get_params(context) for name in p.opts]
            assert "--json" in options, context.command_path


def test_help_lists_every_command_without_importing_the_learners() -> None:
    code = (
        "import sys; from console.cli import run; code = run(['--help']);"
        "sys.exit(code or sum(m in sys.modules for m in ('river', 'ryu', 'eventlet')))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert shown.returncode == 0, shown.stderr
    for place in cli.COMMAND_MODULES:
        assert re.search(rf"^ +{place.name} +{re.escape(place.summary)}$", shown.stdout, re.M)
    assert re.search(r"^ +demo +\w", shown.stdout, re.M)


def test_version_is_the_distributions() -> None:
    shown = septum("--version")
    assert shown.returncode == 0
    assert re.fullmatch(r"septum \d+\.\d+\.\d+\n", shown.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["polcy"], "no such command 'polcy'; did you mean policy?"),
        (["nonsense"], "no such command 'nonsense'"),
        (["--nonsense"], "--nonsense"),
        (["policy", "check"], "septum policy check --help"),
        (["policy", "nonsense"], "nonsense"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(arguments: list[str], words: str) -> None:
    shown = septum(*arguments)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert shown.stderr.count("\n") == 1
    assert shown.stderr.startswith("septum: ")
    assert words in shown.stderr


class _Broken:
    """Stands in for the command tree: what it runs fails in a chosen way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def main(self, **_: object) -> None:
        raise self.error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def run(error: BaseException) -> int:
        monkeypatch.setattr(cli, "command_tree", lambda: _Broken(error))
        return cli.run([])

    yield run


def test_a_command_error_keeps_its_code(failing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(CommandError("port 6653 is in use: choose another with --of-port", 1)) == 1
    captured = capsys.readouterr()
    assert captured.err == "septum: port 6653 is in use: choose another with --of-port\n"


def test_a_missing_file_is_named(failing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(FileNotFoundError(2, "No such file or directory", "shop.yaml")) == 2
    assert capsys.readouterr().err == "septum: shop.yaml: No such file or directory\n"


def test_a_defect_is_one_line_and_debug_shows_where(
    failing: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEPTUM_DEBUG", raising=False)
    assert failing(KeyError("segment\nof\nlines")) == 2
    quiet = capsys.readouterr().err
    assert quiet.count("\n") == 1
    assert "internal error: KeyError" in quiet
    monkeypatch.setenv("SEPTUM_DEBUG", "1")
    assert failing(KeyError("segment")) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_130(failing: Any) -> None:
    assert failing(KeyboardInterrupt()) == 130


def test_a_policy_error_shows_every_fault_and_means_no() -> None:
    faults = [
        Diagnostic("error", "unknown-key", f"unknown key {n}", Source("shop.yaml", n, 3))
        for n in (4, 9)
    ]
    error = PolicyError(faults)
    assert exit_code(error) == 1
    assert [line.split(": ")[0] for line in explain(error)] == ["shop.yaml:4:3", "shop.yaml:9:3"]


class _Plugin:
    name = "weather"
    value = "nowhere.commands:register"

    def load(self) -> Any:
        raise ModuleNotFoundError("No module named 'nowhere'")


def test_a_broken_plugin_harms_only_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [_Plugin()])
    assert cli.run(["--help"]) == 0
    assert re.search(r"weather +\(cannot be loaded", capsys.readouterr().out)
    assert cli.run(["weather"]) == 2
    assert "nowhere.commands:register, which cannot be loaded" in capsys.readouterr().err


def test_a_plugin_adds_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def register(app: typer.Typer) -> None:
        @app.command()
        def weather(place: str) -> int:
            """Tell the weather."""
            print(f"rain in {place}")
            return 1

    class Working(_Plugin):
        def load(self) -> Any:
            return register

    monkeypatch.setattr(cli, "entry_points", lambda group: [Working()])
    assert cli.run(["weather", "Delft"]) == 1
    assert capsys.readouterr().out == "rain in Delft\n"

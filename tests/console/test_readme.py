"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from console import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The README's policy as ``shop.yaml`` in the working directory."""
    example = re.search(r"```yaml\n(.*?)```", README, re.S)
    assert example is not None
    (tmp_path / "shop.yaml").write_text(example[1])
    monkeypatch.chdir(tmp_path)
    return "shop.yaml"


def test_the_policy_is_valid_without_a_warning(policy: str) -> None:
    assert cli.run(["policy", "check", "--strict", policy]) == 0


def test_the_commands_that_ask_about_it_answer(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.findall(r"^\.venv/bin/septum (policy .*)$", README, re.M)
    commands = [command for command in shown if "--state" not in command]  # needs no controller
    assert {shlex.split(command)[1] for command in commands} == {"check", "trace", "compile"}
    for command in commands:
        assert cli.run(shlex.split(command)) == 0, command
        assert capsys.readouterr().out


def test_every_file_it_links_to_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert missing == []


def test_every_make_target_in_the_manual_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    pages = [README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z]+)", page, re.M)}
    assert {"demo", "test"} <= named <= targets


def test_septum_commands_in_the_manual_exist(capsys: pytest.CaptureFixture[str]) -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(
        re.findall(r"^(?:\.venv/bin/)?septum ((?:policy |decisions |audit )?[a-z]+)", text, re.M)
    )
    assert len(named) > 10
    for name in sorted(named):
        assert cli.run([*name.split(), "--help"]) == 0, name
        capsys.readouterr()


def test_every_file_that_the_manual_names_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    rooms = "topology|policies|detection|response|ryu_apps|console|mininet_tests|tests|scripts|docs"
    named = {
        name
        for page in pages
        for name in re.findall(rf"`((?:{rooms})/[\w/.-]*)`", page.read_text(encoding="utf-8"))
        if "NAME" not in name
    }
    assert len(named) > 15
    assert sorted(name for name in named if not (ROOT / name).exists()) == []

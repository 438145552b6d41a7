"""Imports point downwards, and the pure rooms stay pure."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "topology",
    "policies",
    "detection",
    "response",
    "analysis",
    "ryu_apps",
    "console",
    "mininet_tests",
)
UPWARD_IMPORTS = 10
"""Imports against a contract that are let pass until detection is rebuilt. Only lower it;
import-linter refuses one that is no longer there."""

PURE = ("topology", "policies", "detection", "response")


def contracts() -> list[dict[str, Any]]:
    """The contracts of import-linter, as pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rooms_import_downwards_only() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout


def test_imports_that_may_run_upwards_get_fewer() -> None:
    ignored = [each for contract in contracts() for each in contract.get("ignore_imports", ())]
    assert len(ignored) <= UPWARD_IMPORTS
    assert [each for each in ignored if not each.startswith("detection.")] == []


def make_package(root: Path, name: str) -> None:
    """Make an empty package, and those that it lies in."""
    folder = root
    for part in name.split("."):
        folder /= part
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Empty rooms and wings under the real contracts, without what they let pass for now."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(re.sub(r"ignore_imports = \[[^]]*]", "", text))
    for room in ROOMS:
        make_package(tmp_path, room)
    for contract in contracts():
        for container in contract.get("containers", ()):
            for layer in contract["layers"]:
                for wing in re.split(" [|:] ", layer):
                    make_package(tmp_path, f"{container}.{wing}")
    return tmp_path


def test_the_contracts_accept_the_street(house: Path) -> None:
    (house / "console" / "a.py").write_text("import ryu_apps, response, topology, socket\n")
    (house / "ryu_apps" / "core" / "a.py").write_text("import ryu, policies, time\n")
    (house / "response" / "decisions" / "a.py").write_text("import policies, detection\n")
    checked = lint_imports(house)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("topology", "import policies"),
        ("policies", "import detection"),
        ("detection", "import policies"),
        ("detection", "from response.decisions import a"),
        ("policies", "import ryu_apps"),
        ("ryu_apps/ipc", "import console"),
        ("console", "import mininet_tests"),
        ("policies", "import ryu.ofproto"),
        ("response", "import eventlet"),
        ("topology", "import socket"),
        ("detection", "def f() -> None:\n    import time"),
        ("policies/semantics", "from policies.language import errors"),
        ("policies/language", "import policies.rules"),
        ("policies/rules", "import policies.compiler.common"),
        ("policies/compiler/common", "import policies.compiler.stateful"),
        ("policies/compiler/stateful", "import policies.compiler.stateless"),
        ("policies/compiler", "import policies.verify"),
        ("policies/verify", "import policies.review"),
        ("policies/review", "import policies.recommendation"),
        ("ryu_apps/effects", "import ryu_apps.openflow"),
        ("ryu_apps/openflow", "import ryu_apps.switch"),
        ("ryu_apps/switch", "import ryu_apps.fabric"),
        ("ryu_apps/fabric", "import ryu_apps.telemetry"),
        ("ryu_apps/telemetry", "import ryu_apps.enforcement"),
        ("ryu_apps/enforcement", "import ryu_apps.ipc"),
        ("ryu_apps/ipc", "import ryu_apps.core"),
        ("detection/state", "import detection.features"),
        ("detection/features", "import detection.models"),
        ("detection/models", "import detection.alerting"),
        ("detection/alerting", "import detection.detector"),
        ("response/audit", "from response import state"),
        ("response/state", "import response.ipc"),
        ("response/ipc", "import response.decisions"),
        ("response/feeds", "import response.ipc"),
    ],
)
def test_the_contracts_refuse(house: Path, room: str, statement: str) -> None:
    (house / "response" / "decisions" / "a.py").touch()
    (house / room / "wrong.py").write_text(statement + "\n")
    checked = lint_imports(house)
    assert checked.returncode == 1, checked.stdout
    assert f"{room.replace('/', '.')}.wrong" in checked.stdout


def test_the_contracts_refuse_two_modules_that_import_each_other(house: Path) -> None:
    (house / "policies" / "rules" / "one.py").write_text("from policies.rules import two\n")
    (house / "policies" / "rules" / "two.py").write_text("from policies.rules import one\n")
    checked = lint_imports(house)
    assert checked.returncode == 1, checked.stdout
    assert "policies.rules" in checked.stdout


def clock_reads(tree: ast.AST) -> Iterator[str]:
    """Calls that read the clock without an import that the contracts would see."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value).rpartition(".")[2]
        if node.func.attr in ("now", "utcnow", "today") and owner in ("datetime", "date"):
            yield f"line {node.lineno}: {ast.unparse(node.func)}"


def test_clock_reads_are_seen() -> None:
    assert list(clock_reads(ast.parse("x = datetime.datetime.now(tz)")))
    assert list(clock_reads(ast.parse("x = date.today()")))
    assert not list(clock_reads(ast.parse("x = datetime.fromtimestamp(now)")))


@pytest.mark.parametrize("room", PURE)
def test_below_the_switches_nobody_reads_the_clock(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} {read}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for read in clock_reads(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_is_for(room: str) -> None:
    tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)

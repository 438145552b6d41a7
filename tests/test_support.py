"""Tests share what is in tests/support, and stand in folders that mirror what they test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
LIVE = ROOT / "mininet_tests" / "live"
UNMIRRORED = {"support", "fixtures"}
EXCEPTED = {
    "benchmarks.house.structure",  # what is measured is held, too
    "benchmarks.openflow_load",
}

FILES = sorted(
    path
    for folder in (TESTS, LIVE)
    for path in folder.rglob("*.py")
    if TESTS / "fixtures" not in path.parents
)


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return found - EXCEPTED


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_imports_a_test_or_a_measurement(path: Path) -> None:
    of_benchmarks = TESTS / "benchmarks" in path.parents
    for module in imported(path):
        assert not module.rpartition(".")[2].startswith("test_"), module
        assert of_benchmarks or module.partition(".")[0] != "benchmarks", module


def test_folders_of_tests_mirror_those_that_they_test() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    mirrored = {each for each in folders if each.parts and each.parts[0] not in UNMIRRORED}
    assert mirrored
    assert sorted(str(each) for each in mirrored if not (ROOT / each).is_dir()) == []

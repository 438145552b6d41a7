"""The wheel: all of the product with `demo` and `lab`, and none of what only tests it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "topology", "policies", "detection", "response", "analysis", "ryu_apps", "console",
    "mininet_tests",
)  # fmt: skip
NOT_SHIPPED = ("mininet_tests/live/", "mininet_tests/experiments/")
TESTING = ("tests", "benchmarks", "mininet_tests.live", "mininet_tests.experiments", "pytest")
NO_FILES = {".pyc", ".so"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Built from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (path,) = (copy / "dist").glob("*.whl")
    return ZipFile(path)


def test_every_module_and_data_file_of_the_product_is_in_it_and_nothing_else(
    wheel: ZipFile,
) -> None:
    there = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in NO_FILES
    }
    assert there == {name for name in expected if not name.startswith(NOT_SHIPPED)}
    assert {
        "mininet_tests/scenarios/demo.yaml",
        "mininet_tests/recordings/demo-day.csv.gz",
        "policies/examples/shop.yaml",
    } <= there


def test_nothing_that_is_shipped_imports_what_is_not(wheel: ZipFile) -> None:
    for name in wheel.namelist():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(wheel.read(name))):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if isinstance(node, ast.Import):
                    modules = [each.name for each in node.names]
                for module in modules:
                    assert not any(f"{module}.".startswith(f"{each}.") for each in TESTING), name


def test_commands_and_extras_are_declared(wheel: ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    entries = ConfigParser()
    entries.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    assert dict(entries["console_scripts"]) == {"septum": "console.cli:main"}
    assert set(entries["septum.commands"]) == {"demo", "lab"}
    metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
    needed = metadata.get_all("Requires-Dist", [])
    assert {"ryu", "os-ken"} <= set(metadata.get_all("Provides-Extra", []))
    for library in ("ryu", "os-ken", "eventlet"):
        found = [each for each in needed if each.lower().startswith(library)]
        assert found and all("extra ==" in each for each in found), f"{library} is optional"

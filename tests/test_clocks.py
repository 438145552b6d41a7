"""The system's clock, which may step, is read in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.house.structure import PRODUCT, ROOT

ONE_PLACE = "analysis/clock/system.py"
WALL = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
OF_NOW = {"time.localtime", "time.gmtime", "time.ctime", "time.asctime"}
"""Of the system's clock where they are given no time; so is ``time.strftime`` of a format alone."""


def readings(tree: ast.AST) -> Iterator[str]:
    """Uses of the system's clock, also of what is passed on as a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"from time import {each.name}" for each in node.names)
        if isinstance(node, ast.Attribute):
            name = ".".join(ast.unparse(node).split(".")[-2:])
            if name in WALL or "CLOCK_REALTIME" in name:
                yield name
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if (name in OF_NOW and not node.args) or (
                name == "time.strftime" and len(node.args) == 1
            ):
                yield name


@pytest.mark.threat("clock-steps")
def test_the_system_clock_is_read_in_one_place() -> None:
    found = {}
    for package in (*PRODUCT, "proving"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if uses := sorted(set(readings(ast.parse(path.read_text(encoding="utf-8"))))):
                found[name] = uses
    assert set(found) == {ONE_PLACE}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("time.time()", ["time.time"]),
        ("def f(clock=time.time): ...", ["time.time"]),
        ("datetime.datetime.now(UTC)", ["datetime.now"]),
        ("from time import time", ["from time import time"]),
        ("time.clock_gettime(time.CLOCK_REALTIME)", ["time.CLOCK_REALTIME"]),
        ("time.strftime('%H')", ["time.strftime"]),
        ("time.strftime('%H', at); time.gmtime(at); time.monotonic()", []),
    ],
)
def test_every_way_to_read_it_is_seen(code: str, found: list[str]) -> None:
    assert list(readings(ast.parse(code))) == found


def test_the_walk_reaches_the_product() -> None:
    assert (ROOT / "ryu_apps" / "app.py").is_file() and "ryu_apps" in PRODUCT
    assert Path(ROOT / "console").is_dir() and "console" in PRODUCT

"""Every module and folder that the manual names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("topology", "policies", "detection", "response", "analysis", "ryu_apps", "console")
FOLDERS = (*ROOMS, "mininet_tests", "tests", "benchmarks", "docs", "packaging", "scripts")
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)


def paths_in(text: str) -> list[str]:
    """Paths below a folder of the project in backticks; those with a placeholder are left out."""
    quoted = re.findall(r"`([\w./-]+)`", text)
    below = [path for path in quoted if path.partition("/")[0] in FOLDERS and "/" in path]
    return [path for path in below if not re.search(r"\b[A-Z]{4,}\b", path)]


def test_the_walk_names_modules_in_every_step() -> None:
    walk = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\| \d+ \|.*$", walk, re.M)
    assert len(steps) >= 10
    for step in steps:
        modules = [path for path in paths_in(step) if path.endswith(".py")]
        assert modules, step
        assert [path for path in modules if not (ROOT / path).is_file()] == [], step


def test_the_walk_passes_through_every_room_of_the_street_and_fits_a_screen() -> None:
    walk = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    rooms = {path.partition("/")[0] for path in paths_in(walk)}
    assert rooms == set(ROOMS) - {"console"}
    assert len(walk.splitlines()) <= 45


def test_every_path_in_the_manual_exists() -> None:
    gone = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in PAGES
        for path in paths_in(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    ]
    assert gone == []


def test_every_module_named_with_dots_exists() -> None:
    """``room.wing.module`` and ``room.wing.module.Name``."""
    gone = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in re.findall(r"`((?:[a-z_]+\.)+\w+)`", page.read_text(encoding="utf-8"))
        if name.partition(".")[0] in ROOMS and not name.endswith(".sock") and not _is_named(name)
    ]
    assert gone == []


def _is_named(dotted: str) -> bool:
    """Whether a module, or a name that is defined or used in one, is meant."""
    path = ROOT.joinpath(*dotted.split("."))
    if path.with_suffix(".py").is_file() or path.is_dir():
        return True
    module = path.parent.with_suffix(".py")
    return (
        module.is_file() and re.search(rf"\b{path.name}\b", module.read_text("utf-8")) is not None
    )

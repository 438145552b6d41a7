"""Modules and folders stay small, no two modules import each other, class names are unique."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

from benchmarks.house.structure import (
    LONGEST_MODULE,
    MODULES_IN_A_FOLDER,
    PACKAGES,
    PRODUCT,
    ROOT,
    folder_sizes,
    import_circles,
    import_graph,
    module_lengths,
)

FULL_FOLDERS = {"policies/verify": 40}
"""Folders that may hold more modules, and how many. Only shorten this list."""


HOLDS_CODE = {"pickle", "_pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "copyreg"}
"""Formats whose data name classes or functions to call when they are read."""

COPIES_IN_MEMORY = {("detection/models/baseline.py", "pickle")}
"""Bytes that never leave the process that wrote them. Only shorten this list."""


def test_a_module_can_be_read_in_one_sitting() -> None:
    lengths = module_lengths(ROOT, PRODUCT)
    assert {name: size for name, size in lengths.items() if size > LONGEST_MODULE} == {}


def test_a_folder_can_be_looked_over() -> None:
    sizes = folder_sizes(module_lengths(ROOT, PRODUCT))
    full = {
        name: size
        for name, size in sizes.items()
        if size > FULL_FOLDERS.get(name, MODULES_IN_A_FOLDER)
    }
    assert full == {}
    assert [name for name in FULL_FOLDERS if sizes[name] <= MODULES_IN_A_FOLDER] == []


def test_no_modules_import_each_other() -> None:
    assert import_circles(import_graph(PACKAGES)) == []


def test_a_circle_is_seen_however_long_it_is() -> None:
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")])
    assert import_circles(graph) == [["a", "b", "c"]]


def test_imports_for_the_type_checker_and_inside_functions_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "circular_room"
    room.mkdir()
    (room / "__init__.py").touch()
    (room / "a.py").write_text("def f():\n    import circular_room.b\n")
    (room / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import circular_room.a\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    circles = import_circles(import_graph(["circular_room"]))
    assert circles == [["circular_room.a", "circular_room.b"]]


def test_folders_are_counted_without_their_front_page(tmp_path: Path) -> None:
    for name in ("__init__.py", "a.py", "wing/__init__.py", "wing/b.py", "wing/c.py"):
        path = tmp_path / "room" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n\n")
    lengths = module_lengths(tmp_path, ["room"])
    assert lengths["room/wing/b.py"] == 2
    assert folder_sizes(lengths) == {"room": 1, "room/wing": 2}


@pytest.mark.threat("stored-code")
def test_nothing_that_is_read_back_can_hold_code() -> None:
    found = {
        (name, module)
        for name in module_lengths(ROOT, PRODUCT)
        for module in imported(ast.parse((ROOT / name).read_text(encoding="utf-8")))
        if module in HOLDS_CODE
    }
    assert found == COPIES_IN_MEMORY


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the top packages that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def public_classes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_a_class_name_is_used_once() -> None:
    """In the product, its measurements and its tests, so that a name leads to one place."""
    places = defaultdict(list)
    for name in module_lengths(ROOT, (*PACKAGES, "tests", "scripts")):
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        for class_name in public_classes(tree):
            places[class_name].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}

"""How easily the code can be read and taken apart: module lengths, folder sizes, import circles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grimp
import networkx as nx

from benchmarks.runner import Benchmark, Figure, Target

ROOT = Path(__file__).parents[2]
PRODUCT = ("topology", "policies", "detection", "response", "analysis", "ryu_apps", "console")
PACKAGES = (*PRODUCT, "mininet_tests", "benchmarks")

LONGEST_MODULE = 350  # lines
MODULES_IN_A_FOLDER = 16
REBUILT_LATER = ("policies/verify/", "detection/")
"""Where lengths and folder sizes do not count yet."""


def module_lengths(root: Path, packages: Iterable[str]) -> dict[str, int]:
    """Lines of every module, by its path from ``root``."""
    return {
        path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }


def folder_sizes(modules: Iterable[str]) -> Counter[str]:
    """How many modules each folder holds, its ``__init__.py`` apart."""
    return Counter(
        folder
        for folder, _, name in (module.rpartition("/") for module in modules)
        if name != "__init__.py"
    )


def import_graph(packages: Iterable[str]) -> nx.DiGraph[str]:
    """Who imports whom, with the imports that only a type checker follows."""
    found = grimp.build_graph(*packages, cache_dir=None)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module in found.modules:
        graph.add_edges_from(
            (module, imported) for imported in found.find_modules_directly_imported_by(module)
        )
    return graph


def import_circles(graph: nx.DiGraph[str]) -> list[list[str]]:
    """Groups of modules each of which imports all others of its group, however indirectly."""
    groups = nx.strongly_connected_components(graph)
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _settled(sizes: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    for path, size in sizes.items():
        if not f"{path}/".startswith(REBUILT_LATER):
            yield size, path


def _longest_module() -> Figure:
    return Figure(*max(_settled(module_lengths(ROOT, PRODUCT))))


def _fullest_folder() -> Figure:
    return Figure(*max(_settled(folder_sizes(module_lengths(ROOT, PRODUCT)))))


def _circles() -> Figure:
    circles = import_circles(import_graph(PACKAGES))
    return Figure(len(circles), "; ".join(" ↔ ".join(circle) for circle in circles))


BENCHMARKS = (
    Benchmark("house.longest_module", Target("<=", LONGEST_MODULE, "lines"), _longest_module),
    Benchmark("house.modules_in_a_folder", Target("<=", MODULES_IN_A_FOLDER), _fullest_folder),
    Benchmark("house.circles", Target("==", 0), _circles),
)

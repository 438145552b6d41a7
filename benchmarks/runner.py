"""Finds the measurements, runs them one after the other, prints one line each.

A module anywhere in this package that defines ``BENCHMARKS`` (a sequence of `Benchmark`) is
found. A line reads ``name  figure  target  holds|falls short``.
"""

from __future__ import annotations

import importlib
import operator
import os
import pkgutil
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from topology.gc_tuning import collect_rarely

DATA = "SEPTUM_DATA"
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}
MINIMUM_PAIRS = 5


class MissingData(Exception):
    """A measurement needs recorded traffic that is not on this machine."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must be: ``Target("<=", 2.0, "s")``; ``unit`` may be empty."""

    comparison: str
    value: float
    unit: str = ""

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise ValueError(f"comparison {self.comparison!r}: one of {', '.join(COMPARISONS)}")

    def holds(self, value: float) -> bool:
        """NaN never holds."""
        return COMPARISONS[self.comparison](value, self.value)

    def __str__(self) -> str:
        return f"{self.comparison} {_number(self.value)}{_unit(self.unit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, in the target's unit; ``note`` says how (spread, number of runs)."""

    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One promise. ``name`` begins with its area (``street.``, ``policy.``, …); ``measure`` takes
    as long as it takes, and raises `MissingData` where recorded traffic is lacking."""

    name: str
    target: Target
    measure: Callable[[], Figure]


def median(values: Iterable[float]) -> Figure:
    """The median of repeated runs, with their spread."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a median needs at least one run")
    spread = f"{_number(ordered[0])}–{_number(ordered[-1])}"
    return Figure(statistics.median(ordered), f"median of {len(ordered)}, {spread}")


def ratio(pairs: Sequence[tuple[float, float]]) -> Figure:
    """The median of ours ÷ theirs over paired runs.

    Each pair is measured back to back, so that what else the machine does weighs on both; fewer
    than five pairs are refused.
    """
    if len(pairs) < MINIMUM_PAIRS:
        raise ValueError(f"a ratio needs at least {MINIMUM_PAIRS} paired runs, not {len(pairs)}")
    return median(ours / theirs for ours, theirs in pairs)


def recorded(name: str) -> Path:
    """The path of a recorded-traffic file in the folder that SEPTUM_DATA names."""
    folder = Path(os.environ.get(DATA) or Path(__file__).parents[2] / "shared" / "data")
    path = folder / name
    if not path.is_file():
        raise MissingData(f"no {name} in {folder}: set {DATA} to the folder of recorded traffic")
    return path


def discover(package: ModuleType, problems: list[str]) -> Iterator[Benchmark]:
    """Every benchmark of a package, by module name; a name used twice is an error.

    A module that cannot be imported adds a line to ``problems``, and the others go on.
    """
    seen: dict[str, str] = {}
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    for module_name in sorted(info.name for info in found):
        if module_name.endswith("__main__") or ".programs." in module_name:
            continue
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            problems.append(f"{module_name} cannot be loaded: {_one_line(error)}")
            continue
        for benchmark in getattr(module, "BENCHMARKS", ()):
            if benchmark.name in seen:
                where = f"{seen[benchmark.name]} and {module_name}"
                raise ValueError(f"benchmark {benchmark.name} is defined in {where}")
            seen[benchmark.name] = module_name
            yield benchmark


def measure(benchmark: Benchmark) -> tuple[str, bool]:
    """Run one: its line, and whether it holds. What went wrong stands in the line."""
    try:
        figure = benchmark.measure()
    except MissingData as error:
        return _line(benchmark, "not measured", False, str(error)), False
    except Exception as error:  # one broken measurement must not hide the others
        return _line(benchmark, "failed", False, _one_line(error)), False
    holds = benchmark.target.holds(figure.value)
    shown = f"{_number(figure.value)}{_unit(benchmark.target.unit)}"
    return _line(benchmark, shown, holds, figure.note), holds


def run(benchmarks: Iterable[Benchmark], prefix: str = "") -> int:
    """Print a line for each whose name starts with ``prefix``.

    0 when all hold, 1 when one falls short, 2 when no name fits.
    """
    chosen = sorted((b for b in benchmarks if b.name.startswith(prefix)), key=lambda b: b.name)
    if not chosen:
        print(f"benchmarks: no measurement's name starts with {prefix!r}", file=sys.stderr)
        return 2
    all_hold = True
    for benchmark in chosen:
        line, holds = measure(benchmark)
        print(line, flush=True)
        all_hold = all_hold and holds
    return 0 if all_hold else 1


def main() -> None:
    if len(sys.argv) > 2:
        print("usage: python -m benchmarks [NAME]", file=sys.stderr)
        sys.exit(2)
    collect_rarely()  # as every process of Septum does
    package = importlib.import_module("benchmarks")
    problems: list[str] = []
    found = list(discover(package, problems))
    for problem in problems:
        print(f"benchmarks: {problem}", file=sys.stderr)
    try:
        sys.exit(run(found, *sys.argv[1:]) or bool(problems))
    except KeyboardInterrupt:
        sys.exit(130)


def _line(benchmark: Benchmark, figure: str, holds: bool, note: str) -> str:
    parts = [benchmark.name, figure, str(benchmark.target), "holds" if holds else "falls short"]
    return "  ".join(parts) + (f"  ({note})" if note else "")


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""

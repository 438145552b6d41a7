"""The runner: one honest line per measurement, and an exit code that follows from them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.runner import Benchmark, Figure, Target, median, ratio


def fixed(value: float, note: str = "") -> Callable[[], Figure]:
    return lambda: Figure(value, note)


FAST = Benchmark("street.contain", Target("<=", 2.0, "s"), fixed(0.31, "one run"))
SLOW = Benchmark("policy.read", Target("<=", 4.0, "s"), fixed(5.5))
RATE = Benchmark("detection.rate", Target(">=", 50_000, "records/s"), fixed(61_234.4))


def test_a_line_has_name_figure_target_and_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.run([FAST, RATE]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "detection.rate  61,234 records/s  >= 50,000 records/s  holds",
        "street.contain  0.31 s  <= 2 s  holds  (one run)",
    ]


def test_one_that_falls_short_makes_the_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.run([FAST, SLOW]) == 1
    assert "policy.read  5.5 s  <= 4 s  falls short" in capsys.readouterr().out


def test_a_prefix_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.run([FAST, SLOW], "street.") == 0
    assert capsys.readouterr().out.startswith("street.contain")


def test_a_prefix_that_fits_nothing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.run([FAST], "nothing.") == 2
    assert "'nothing.'" in capsys.readouterr().err


def test_a_figure_that_is_not_a_number_never_holds() -> None:
    for comparison in runner.COMPARISONS:
        assert not Target(comparison, 0.0).holds(float("nan"))


def test_an_unknown_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="=<"):
        Target("=<", 1.0)


def test_a_measurement_that_breaks_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> Figure:
        raise RuntimeError("the switch\nwent away")

    assert runner.run([Benchmark("a.broken", Target("<=", 1.0), broken), FAST]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == "a.broken  failed  <= 1  falls short  (RuntimeError: the switch went away)"
    assert second.startswith("street.contain")


def test_lacking_recorded_traffic_stands_in_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(runner.DATA, str(tmp_path))

    def needs_data() -> Figure:
        return Figure(float(runner.recorded("sweeps.csv").stat().st_size))

    benchmark = Benchmark("detection.sweeps", Target(">=", 1.0), needs_data)
    assert runner.run([benchmark]) == 1
    line = capsys.readouterr().out
    assert "not measured" in line
    assert f"no sweeps.csv in {tmp_path}" in line
    (tmp_path / "sweeps.csv").write_text("ts\n")
    assert runner.run([benchmark]) == 0


def test_a_median_carries_its_spread() -> None:
    assert median([3.0, 1.0, 2.0]) == Figure(2.0, "median of 3, 1–3")
    with pytest.raises(ValueError, match="at least one"):
        median([])


def test_a_ratio_is_taken_pair_by_pair() -> None:
    # Paired: 2 each time, although the machine slowed down fivefold in the middle.
    pairs = [(2.0, 1.0), (10.0, 5.0), (4.0, 2.0), (2.0, 1.0), (10.0, 5.0)]
    assert ratio(pairs).value == 2.0
    with pytest.raises(ValueError, match="5 paired runs"):
        ratio(pairs[:4])


def test_modules_are_found_by_what_they_define(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "measured"
    (package / "deep").mkdir(parents=True)
    for folder in (package, package / "deep"):
        (folder / "__init__.py").touch()
    source = (
        "from benchmarks.runner import Benchmark, Figure, Target\n"
        "BENCHMARKS = (Benchmark({name!r}, Target('>=', 1.0), lambda: Figure(1.0)),)\n"
    )
    (package / "one.py").write_text(source.format(name="policy.one"))
    (package / "deep" / "two.py").write_text(source.format(name="policy.two"))
    (package / "without.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("measured")
    assert [b.name for b in runner.discover(module, [])] == ["policy.two", "policy.one"]
    (package / "broken.py").write_text("import nowhere_to_be_found\n")
    problems: list[str] = []
    assert len(list(runner.discover(module, problems))) == 2
    assert [p.split(":")[0] for p in problems] == ["measured.broken cannot be loaded"]
    (package / "three.py").write_text(source.format(name="policy.one"))
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match=r"policy\.one is defined in measured\.one and"):
        list(runner.discover(module, []))
    for name in [name for name in sys.modules if name.startswith("measured")]:
        del sys.modules[name]


def test_every_real_measurement_is_named_after_an_area() -> None:
    package = importlib.import_module("benchmarks")
    areas = {"street", "policy", "dataplane", "detection", "response", "console", "house", "peers"}
    areas |= {"field", "security"}
    problems: list[str] = []
    for benchmark in runner.discover(package, problems):
        assert benchmark.name.split(".")[0] in areas
    assert problems == []

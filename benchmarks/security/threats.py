"""The threats of docs/security.md whose marked tests all pass."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.runner import Benchmark, Figure, Target
from tests.support.threats import ROOT, threats

MOST = 1_800  # seconds
REPORTER = "tests.support.threats"


def held_off() -> Figure:
    """Threats with at least one marked test, all of which pass: expected failures do not."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests", "mininet_tests", "-m", "threat",
                   "-p", REPORTER, f"--junit-xml={report}"]  # fmt: skip
        subprocess.run(command, cwd=ROOT, capture_output=True, timeout=MOST, check=False)
        passed: dict[str, list[bool]] = defaultdict(list)
        for case in ElementTree.parse(report).iter("testcase"):
            failed = any(case.find(what) is not None for what in ("failure", "error", "skipped"))
            for found in case.iter("property"):
                if found.get("name") == "threat":
                    passed[str(found.get("value"))].append(not failed)
    open_ones = [name for name in threats() if not (passed[name] and all(passed[name]))]
    tests = sum(map(len, passed.values()))
    note = f"{tests} tests" + (f"; open: {', '.join(open_ones)}" if open_ones else "")
    return Figure(len(threats()) - len(open_ones), note)


BENCHMARKS = (Benchmark("security.threats_held_off", Target("==", 21, "of 21"), held_off),)

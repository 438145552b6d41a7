"""A short run of the coverage-guided fuzzer; `fuzz_policy_input.py` says how to run it longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("fuzz_policy_input.py")


@pytest.mark.thorough
def test_a_few_thousand_inputs(tmp_path: Path) -> None:
    # Wheels exist for Linux on x86-64 only, as requirements-dev.txt says.
    pytest.importorskip("atheris")
    command = [sys.executable, str(HARNESS), str(tmp_path), "-runs=2000", "-seed=1"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "Done 2000 runs" in found.stderr

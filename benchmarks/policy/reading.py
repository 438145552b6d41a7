"""What reading and checking the large policy takes in memory, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.policy.generator import generate
from benchmarks.runner import Benchmark, Figure, Target
from policies.language.reader import load_policy
from policies.review.lint import check_policy
from policies.semantics.membership import Membership
from topology.gc_tuning import collect_rarely

MEASURE = "import sys; from benchmarks.policy.reading import print_peak; print_peak(sys.argv[1])"


def print_peak(path: str) -> None:
    """Read and check; print this process's highest use of memory in MB."""
    collect_rarely()
    policy = load_policy([path])
    check_policy(policy, Membership(policy), 0.0)
    # Not getrusage: its figure also counts the parent, from before this program was started.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    print(int(peak) / 1024)


def read_memory() -> Figure:
    with TemporaryDirectory() as folder:
        path = generate(Path(folder))
        found = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)],
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        )
    return Figure(float(found.stdout), "peak of a process that reads and checks")


BENCHMARKS = (Benchmark("policy.read_memory_mb", Target("<=", 500.0, "MB"), read_memory),)

"""Every loop, thread and process of the product is started where it is watched."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.house.structure import PRODUCT, ROOT, module_lengths

STARTS = frozenset(
    {
        "spawn", "spawn_n", "spawn_after", "Thread", "Timer", "Popen", "fork", "posix_spawn",
        "ThreadPoolExecutor", "ProcessPoolExecutor", "Process", "start_new_thread", "call_later",
    }
)  # fmt: skip
"""Calls that start something which runs on its own, by the last part of their name."""

SUPERVISED = {
    "ryu_apps/supervision.py": {"spawn"},  # every loop of the controller
    "ryu_apps/runtime.py": {"spawn"},  # waited for by who started it
    "ryu_apps/ipc/analysis_link.py": {"Popen"},  # started again when it ends
    "ryu_apps/ipc/proof_link.py": {"Popen"},  # by whoever asks next, when it ended
    "analysis/checkpoints/sending.py": {"Popen"},  # ended after a stated time
    "analysis/background_copy.py": {"fork"},  # ended after a stated time
}


def starts(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in STARTS:
                yield name


@pytest.mark.threat("supervised-loops")
def test_nothing_that_runs_on_its_own_is_started_without_supervision() -> None:
    found = {
        name: calls
        for name in module_lengths(ROOT, PRODUCT)
        if (calls := set(starts((ROOT / name).read_text(encoding="utf-8"))))
    }
    assert found == SUPERVISED


@pytest.mark.parametrize(
    "source",
    [
        "hub.spawn(f)",
        "threading.Thread(target=f)",
        "Popen(['x'])",
        "os.fork()",
        "spawn_after(1, f)",
    ],
)
def test_a_start_is_seen_however_it_is_written(source: str, tmp_path: Path) -> None:
    assert list(starts(source)) and not list(starts("hub.sleep(1)"))

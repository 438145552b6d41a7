"""How Septum starts another Python program of its own.

``python -m`` imports from the working directory first, and every start from where PYTHONPATH,
PYTHONHOME and the like name. `command` gives a command line that does neither: the interpreter runs
isolated (``-I``), and this file, run as its script, takes Septum's modules from the folder that it
lies in itself, whose code is running already.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Where the modules of Septum are: a clone, or ``site-packages``."""


def command(module: str, *arguments: str) -> list[str]:
    """What runs ``module`` as ``python -m`` would, with ``arguments``."""
    return [sys.executable, "-I", str(Path(__file__).resolve()), module, *arguments]


def _run() -> None:
    """Run the module that the first argument names, with the others."""
    if str(ROOT) not in sys.path:
        installed = (at for at, path in enumerate(sys.path) if path.endswith("-packages"))
        # After the standard library, before a copy of Septum that is installed.
        sys.path.insert(next(installed, len(sys.path)), str(ROOT))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run()

"""The controller, with the analysis that notes its scores: ``… SETTINGS`` as ``ryu_apps``."""

from __future__ import annotations

import sys
from functools import partial


def main() -> int:
    """Everything is imported here: the runtime patches the standard library of who imports it."""
    from ryu_apps.__main__ import main as controller
    from ryu_apps.ipc.analysis_link import AnalysisProgram
    from ryu_apps.launcher import launch

    analysis = AnalysisProgram(module="benchmarks.programs.scored_analysis")
    return controller(partial(launch, analysis=analysis))


if __name__ == "__main__":
    sys.exit(main())

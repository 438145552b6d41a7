"""The controller, with the analysis that notes its scores: ``… SETTINGS`` as ``ryu_apps``."""

from __future__ import annotations

import sys

from ryu_apps.__main__ import main  # patches the standard library before anything else
from ryu_apps.analysis_link import AnalysisLink

if __name__ == "__main__":
    AnalysisLink.module = "benchmarks.scored_analysis"
    sys.exit(main())

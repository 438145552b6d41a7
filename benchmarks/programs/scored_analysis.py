"""The analysis process, noting when each record's score was out.

``python -m benchmarks.programs.scored_analysis`` is ``analysis.process`` and, at
its end, one line ``src_ip src_port seconds`` (of `time.monotonic`) per new
connection in the file that SEPTUM_SCORED names.
"""

from __future__ import annotations

import os
import sys
import time

from analysis import process as analysis_process
from analysis.pipeline import Analysis
from benchmarks.noted import SCORED
from response.ipc.messages import Command, Message, RecordsSeen


def main() -> int:
    usual = Analysis.step
    noted: list[tuple[float, RecordsSeen]] = []

    def step(self: Analysis, message: Message, now: float) -> list[Command]:
        commands = usual(self, message, now)
        if isinstance(message, RecordsSeen):
            noted.append((time.monotonic(), message))
        return commands

    Analysis.step = step  # type: ignore[method-assign]
    code = analysis_process.main()
    with open(os.environ[SCORED], "w", encoding="utf-8") as out:
        for at, message in noted:
            for record in message.records:
                if record.phase == "start":
                    out.write(f"{record.src_ip} {record.src_port} {at!r}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())

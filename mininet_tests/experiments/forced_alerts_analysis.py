"""The analysis process, with a detector that raises alerts named in a file; see `forced_alerts`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from analysis import composition as compose
from analysis import event_loop, process
from analysis.pipeline import Analysis
from detection.alert import Alert, Contribution, Hop, Scored
from detection.detector import Detector
from mininet_tests.experiments.forced_alerts import FORCED
from response.ipc.messages import Command, RecordsSeen
from topology.records import FlowRecord

TICK = 0.02  # seconds between looks at the file


class ForcedAlertDetector(Detector):
    """Alerts on the records that `told` makes, and on nothing else."""

    def step(self, record: FlowRecord) -> Scored:
        score = super().step(record)
        if record.intent is None or not record.intent.startswith("forced:"):
            return Scored(score.row, score.score)
        _, calibrated, hops = record.intent.split(":")
        alert = Alert(
            id=f"al-{record.src_ip}-{record.ts!r}",
            ts=record.ts,
            host=record.src_ip,
            kind="lateral-path",
            attack="T1021",
            score=float(calibrated),
            threshold=0.9,
            raw=3.0,
            features=(Contribution("hop_depth", 3.0, 0.0, 1.0, 3.0),),
            path=tuple(
                Hop(record.ts, record.src_ip, record.dst_ip, "tcp/22") for _ in range(int(hops))
            ),
            records=(score.row,),
            model="forced/1",
        )
        return Scored(score.row, float(calibrated), alert, alert.id)


def told(state: Path) -> Iterator[FlowRecord]:
    """Waiting forced alerts; each is taken once."""
    waiting, taken = state / FORCED, state / "forced-alerts.taken"
    try:
        waiting.rename(taken)
    except FileNotFoundError:
        return
    for line in taken.read_text().splitlines():
        address, score, hops, ts = line.split()
        mark = f"forced:{score}:{hops}"
        yield FlowRecord(float(ts), address, "10.0.0.250", "tcp", 4, 22, phase="start", intent=mark)


def main() -> int:
    state = Path(sys.argv[sys.argv.index("--state") + 1])
    usual = Analysis.tick

    def tick(self: Analysis, now: float) -> list[Command]:
        commands = usual(self, now)
        records = tuple(told(state))
        return commands + (self.step(RecordsSeen(records), now) if records else [])

    Analysis.tick = tick  # type: ignore[method-assign]
    event_loop.TICK = TICK
    vars(compose)["Detector"] = ForcedAlertDetector
    return process.main()


if __name__ == "__main__":
    sys.exit(main())

"""A state directory of somebody else: nothing in it is run, and one line says why not."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from console import cli
from detection.detector import Detector
from detection.snapshots.detector_snapshot import FORMAT
from response.decisions.bandit import FORMAT as ACTIONS
from response.state.store import Store
from tests.support.hostile_pickles import that_touches

ROOT = Path(__file__).resolve().parents[3]
RECORDING = ROOT / "mininet_tests" / "recordings" / "demo-day.csv.gz"
POLICY = ROOT / "mininet_tests" / "scenarios" / "demo-policy.yaml"


@pytest.mark.threat("stored-code")
@pytest.mark.parametrize("learner", ["detector", "actions"])
def test_replay_runs_nothing_of_a_foreign_model(
    learner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark, state = tmp_path / "mark", tmp_path / "state"
    state.mkdir(mode=0o700)
    of_detector = that_touches(mark, "detection.detector", "Detector.step")
    of_actions = that_touches(mark, "response.decisions.bandit", "ActionLearner.learn")
    store = Store.open(state, 1.0)
    if learner == "detector":
        store.save_snapshot(1.0, "detector", FORMAT.header + zlib.compress(of_detector))
    else:
        store.save_snapshot(1.0, "detector", Detector().snapshot())
        store.save_snapshot(1.0, "actions", ACTIONS.header + zlib.compress(of_actions))
    store.close()
    command = ["replay", "--flows", str(RECORDING), "--policy", str(POLICY), "--model", str(state)]
    code = cli.run(command)
    assert not mark.exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and "snapshot" in line and str(state) in line

"""The manual's feature table is the code's."""

from __future__ import annotations

from pathlib import Path

from detection.features.catalogue import EDGE_FEATURES, FEATURES
from detection.models.learners.edges import EdgeLearner
from detection.models.learners.ensemble import default_learners

MANUAL = (Path(__file__).parents[2] / "docs" / "detection.md").read_text(encoding="utf-8")


def test_every_feature_is_documented_with_unit_and_reason_and_no_other() -> None:
    rows = [line for line in MANUAL.splitlines() if line.startswith("| `") and line.count("|") == 4]
    table = [row for row in rows if row.split("`")[1] not in LEARNERS]
    assert table == [f"| `{f.name}` | {f.unit} | {f.why} |" for f in (*FEATURES, *EDGE_FEATURES)]


LEARNERS = {learner.name for learner in default_learners(0)} | {EdgeLearner.name}


def test_every_learner_is_documented() -> None:
    assert all(f"| `{name}`" in MANUAL for name in LEARNERS)

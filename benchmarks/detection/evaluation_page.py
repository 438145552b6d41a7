"""Tables and plots of ``docs/evaluation.md``, from what `benchmarks.detection.evaluation` wrote.

    python -m benchmarks.detection.evaluation_page

rewrites what stands between the page's ``<!-- NAME -->`` marks, and the SVG files beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.detection import plots
from benchmarks.detection.evaluation import BUDGETS, OURS, OUT
from benchmarks.detection.rivals import RIVALS

PAGE = OUT.parent / "evaluation.md"
SCORERS = (OURS, *RIVALS)
BUDGET = BUDGETS.index(3)
Row = dict[str, Any]


def outcomes(path: Path) -> list[Row]:
    found: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return found


def kinds_of(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in rows))


def chosen(rows: Sequence[Row], scorer: str, kind: str | None = None) -> list[Row]:
    return [r for r in rows if r["scorer"] == scorer and kind in (None, r["kind"])]


def recall_table(rows: Sequence[Row]) -> str:
    """Recall of every kind at three other hosts allowed; then what Septum's own alerts did."""
    lines = [
        f"| attack | {' | '.join(SCORERS)} | Septum's own alerts | hosts to alert | minutes |",
        f"| --- |{' --- |' * (len(SCORERS) + 3)}",
    ]
    for kind in kinds_of(rows):
        cells = [_share(r["at"][BUDGET] for r in chosen(rows, s, kind)) for s in SCORERS]
        ours = chosen(rows, OURS, kind)
        hits = [r for r in ours if r["alerted"]]
        peers = f"{median(r['peers'] for r in hits):.0f}" if hits else "–"
        minutes = f"{median(r['seconds'] for r in hits) / 60:.1f}" if hits else "–"
        own = _share(r["alerted"] for r in ours)
        lines.append(f"| {kind} | {' | '.join(cells)} | {own} | {peers} | {minutes} |")
    return "\n".join(lines)


def ranking_table(rows: Sequence[Row]) -> str:
    """Per record: average precision, and TPR at both rates with what ties could add."""
    lines = [
        f"| attack | {' | '.join(SCORERS)} |",
        f"| --- |{' --- |' * len(SCORERS)}",
    ]
    for kind in kinds_of(rows):
        cells = []
        for scorer in SCORERS:
            found = chosen(rows, scorer, kind)
            precision = mean(r["average_precision"] for r in found)
            rates = " ".join(_rate(found, i) for i in (0, 1))
            cells.append(f"{precision:.2f}; {rates}")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(rows: Sequence[Row], i: int) -> str:
    sure, lucky = (mean(r[key][i] for r in rows) for key in ("tpr", "tpr_lucky"))
    return f"{sure:.2f}" if lucky - sure < 0.005 else f"{sure:.2f}–{lucky:.2f}"


def _share(hits: Any) -> str:
    return f"{mean(bool(hit) for hit in hits):.2f}"


def budget_plot(rows: Sequence[Row], name: str) -> str:
    series = {}
    for scorer in SCORERS:
        found = chosen(rows, scorer)
        series[scorer] = [mean(bool(r["at"][i]) for r in found) for i in range(len(BUDGETS))]
    return plots.lines(
        f"Episodes found, all kinds together ({name})",
        "other internal hosts that may score as high",
        "share of episodes",
        [str(budget) for budget in BUDGETS],
        series,
    )


def kind_plot(rows: Sequence[Row], name: str) -> str:
    kinds = kinds_of(rows)
    values = [
        [mean(bool(r["at"][BUDGET]) for r in chosen(rows, s, kind)) for s in SCORERS]
        for kind in kinds
    ]
    return plots.grid(f"Found at three other hosts ({name})", kinds, SCORERS, values)


def rewritten(page: str, tables: dict[str, str]) -> str:
    """``page`` with what stands between ``<!-- NAME -->`` and ``<!-- end -->`` replaced."""
    for name, table in tables.items():
        begin = page.index(f"<!-- {name} -->\n") + len(f"<!-- {name} -->\n")
        end = page.index("<!-- end -->", begin)
        page = f"{page[:begin]}\n{table}\n\n{page[end:]}"
    return page


def main() -> None:
    tables: dict[str, str] = {}
    for path in sorted(OUT.glob("*.json")):
        rows, name = outcomes(path), path.stem
        tables[f"{name} recall"] = recall_table(rows)
        tables[f"{name} ranking"] = ranking_table(rows)
        (OUT / f"{name}-budgets.svg").write_text(budget_plot(rows, name), encoding="utf-8")
        (OUT / f"{name}-kinds.svg").write_text(kind_plot(rows, name), encoding="utf-8")
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()

"""``septum detect``: the learners over recorded flows, in order; scored first, learned after."""

from __future__ import annotations

import bisect
import csv
import ipaddress
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Annotated

import typer

from console.errors import CommandError
from console.options.recording import (
    Flows,
    Form,
    NoDecapsulate,
    progress,
    tell_bad_rows,
    tell_notes,
)
from detection.alert import Alert
from detection.alerting.sentences import sentence
from detection.detector import Detector, DetectorSettings
from topology.readers import RecordReader

REFRESH_ROWS = 2_000

Scores = Annotated[Path, typer.Option("--scores", help="CSV file for row,score,alert.")]
Alerts = Annotated[Path | None, typer.Option("--alerts", help="File for alerts (JSON lines).")]
Internal = Annotated[
    list[str] | None,
    typer.Option(
        "--internal",
        help="A network of ours (CIDR); repeatable. Default: private addresses, and the "
        "public networks (/16, IPv6 /48) that traffic shows to be ours.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Same input, seed and version: same scores.")]
Budget = Annotated[
    float,
    typer.Option(
        "--alert-budget", help="Accepted alerts on normal behaviour, per day per 1,000 hosts."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


class RowNumbers:
    """Skipped rows make the detector count fewer records than the input has rows."""

    def __init__(self) -> None:
        self._from: list[int] = [0]
        self._shift: list[int] = [0]

    def note(self, record: int, row: int) -> int:
        """Record number ``record`` is input row ``row``; returns the row."""
        if row - record != self._shift[-1]:
            self._from.append(record)
            self._shift.append(row - record)
        return row

    def input_row(self, record: int) -> int:
        return record + self._shift[bisect.bisect_right(self._from, record) - 1]


def register(app: typer.Typer) -> None:
    app.command("detect")(detect)


def detect(
    flows: Flows,
    scores: Scores,
    alerts: Alerts = None,
    internal: Internal = None,
    seed: Seed = 0,
    alert_budget: Budget = 5.0,
    form: Form = "auto",
    no_decapsulate: NoDecapsulate = False,
    as_json: AsJson = False,
) -> None:
    """Run the learners over recorded flows: a score for every record, alerts with explanations.

    Records are taken in order; each is scored before anything is learned from it. A row that
    cannot be read gets no score and is counted; more than a tenth of them is an error.

    Example:

        septum detect --flows flows.csv.gz --scores scores.csv --alerts alerts.jsonl
    """
    reader = RecordReader(flows, form=form, decapsulate=not no_decapsulate)
    detector = Detector(_settings(internal or [], alert_budget), seed)
    found: list[Alert] = []
    numbers = RowNumbers()
    with (
        _replacing(scores) as out,
        _replacing(alerts) as alert_out,
        progress(reader, "learning") as advance,
    ):
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("row", "score", "alert"))
        for number, record in enumerate(reader):
            scored = detector.step(record)
            row = numbers.note(scored.row, reader.rows - 1)
            rows.writerow((row, repr(scored.score), int(scored.alert_id is not None)))
            if scored.alert is not None:
                alert = replace(
                    scored.alert, records=tuple(map(numbers.input_row, scored.alert.records))
                )
                found.append(alert)
                alert_out.write(json.dumps(asdict(alert)) + "\n")
            if number % REFRESH_ROWS == 0:
                advance()
    _report(reader, found, detector.knocking(), as_json)


def _settings(internal: list[str], alert_budget: float) -> DetectorSettings:
    for text in internal:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise CommandError(f"--internal {text}: not a network, as in 10.0.0.0/8") from None
    try:
        return DetectorSettings(alert_budget=alert_budget, internal=tuple(internal))
    except ValueError as problem:
        raise CommandError(f"--alert-budget: {problem}") from None


@contextmanager
def _replacing(path: Path | None) -> Iterator[IO[str]]:
    """Write beside the file and put it in place when all is well; nowhere without a path."""
    if path is None:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            yield nowhere
        return
    if not _is_replaceable(path):
        with path.open("w", encoding="utf-8") as direct:
            yield direct
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as part:
            yield part
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _is_replaceable(path: Path) -> bool:
    """False for devices and pipes, which must be written to and not replaced."""
    return not path.exists() or path.is_file()


def _report(
    reader: RecordReader, found: list[Alert], knocking: tuple[str, ...], as_json: bool
) -> None:
    if as_json:
        summary = {
            "rows": reader.rows,
            "bad_rows": reader.bad,
            "problems": [asdict(problem) for problem in reader.problems],
            "alerts": [asdict(alert) for alert in found],
            "knocking": list(knocking),
        }
        typer.echo(json.dumps(summary, indent=1))
        return
    tell_bad_rows(reader.name, reader.bad, reader.problems)
    tell_notes(reader.name, reader.notes)
    for alert in found:
        main = ", ".join(c.feature for c in alert.features[:3])
        typer.echo(
            f"{alert.ts:.3f}  {alert.host}  {alert.kind}  {alert.attack}  "
            f"score {alert.score:.6f}  {main}"
        )
        typer.echo(f"    {sentence(alert)}")
    for line in knocking:
        typer.echo(line)
    typer.echo(f"{reader.rows - reader.bad} records scored, {len(found)} alerts")

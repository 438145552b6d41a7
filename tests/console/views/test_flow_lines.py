"""What a person reads of a connection: who decided about it, and how unusual it is."""

from __future__ import annotations

import pytest

from console.views.flow_lines import FlowNames, flow_data, flow_key, flow_line, score_words
from response.state.interfaces import StoredFlow
from topology.records import FlowRecord

NAMES = FlowNames({"10.0.0.1": "web1"}, {})


def denied(**more: str) -> FlowRecord:
    return FlowRecord(1.0, "10.0.0.1", "10.0.0.2", "tcp", 4, 22, verdict="deny", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (denied(), "deny (default)"),
        (denied(intent="no-ssh"), "deny (intent no-ssh)"),
        (denied(decision="d3"), "deny (decision d3)"),
        (denied(feed="drop", intent="reads"), "deny (feed drop)"),
    ],
)
def test_a_denied_connection_names_what_denied_it(record: FlowRecord, cause: str) -> None:
    assert cause in flow_line(StoredFlow(record), NAMES)
    assert flow_data(7, StoredFlow(record))["decided_by"] == cause.split()[1].strip("()")


def test_a_recorded_connection_without_a_verdict_has_no_cause() -> None:
    record = FlowRecord(1.0, "10.0.0.1", "10.0.0.2", "tcp", 4, 22)
    assert "decided_by" not in flow_data(1, StoredFlow(record))
    assert "(default)" not in flow_line(StoredFlow(record), NAMES)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (None, ""),
        (0.25, "0.2500"),
        (0.98999, "0.9899"),
        (0.99996, "0.9999 unusual, no alert"),
        (1.0, "highest yet, no alert"),
    ],
)
def test_a_score_is_not_rounded_up_to_certainty(score: float | None, words: str) -> None:
    assert score_words(score) == words


def test_what_an_alert_rests_on_names_the_alert() -> None:
    record = denied()
    names = FlowNames({}, {flow_key(record): "al-1"})
    assert flow_line(StoredFlow(record, 1.0), names).endswith("alert al-1")

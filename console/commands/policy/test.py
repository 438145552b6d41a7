"""``septum policy test``: a policy's own ``tests:``, with a JUnit report for review pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree

import typer

from console.commands.policy.trace import TraceAnswer, answer_data, service_text
from console.errors import NO, CommandError
from console.options.policy import At, IncludeRoot, Json, Paths, count, loaded, moment, print_json
from console.views.tables import listed
from policies.language.errors import printable
from policies.language.packet_queries import PolicyTestResult, run_tests
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge


def register(policy_app: typer.Typer) -> None:
    policy_app.command("test")(run_policy_tests)


def run_policy_tests(
    policy: Paths,
    junit: Annotated[
        str | None, typer.Option("--junit", help="Also write a JUnit report to this file.")
    ] = None,
    as_json: Json = False,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Run the policy's own `tests:`. Exit 1 if one fails.

    Example:

        septum policy test policies/examples/shop.yaml --junit report.xml
    """
    tested = loaded(policy, include_root)
    outcomes = run_tests(tested, Judge(tested, Membership(tested)), moment(at))
    failed = sum(not outcome.passed for outcome in outcomes)
    if junit is not None:
        _write_junit(Path(junit), tested.name, outcomes)
    if as_json:
        results = [_outcome_data(outcome) for outcome in outcomes]
        print_json({"policy": tested.name, "failed": failed, "tests": results})
    else:
        for outcome in outcomes:
            mark = "ok    " if outcome.passed else "FAILED"
            typer.echo(printable(f"{mark} {_title(outcome)}"))
            for line in _reasons(outcome):
                typer.echo(printable(f"       {line}"))
        typer.echo(f"{count(len(outcomes), 'test')}, {failed} failed")
    raise typer.Exit(NO if failed else 0)


def _title(outcome: PolicyTestResult) -> str:
    test = outcome.test
    return f"{test.origin} -> {test.target} {test.service}: {test.expect.value}"


def _reasons(outcome: PolicyTestResult) -> list[str]:
    """Why a test failed, at most three connections of it."""
    if outcome.problem is not None:
        return [f"{outcome.test.source}: {outcome.problem}"]
    lines = []
    wrong, more = listed(outcome.wrong, 3)
    for connection, verdict in wrong:
        by = verdict.intent or verdict.tier.value
        what = f"{connection.src} -> {connection.dst} {service_text(connection)}"
        lines.append(f"{outcome.test.source}: {what} got {verdict.action.value} by {by}")
    return [*lines, f"and {more} more"] if more else lines


def _outcome_data(outcome: PolicyTestResult) -> dict[str, Any]:
    test = outcome.test
    return {
        "from": test.origin,
        "to": test.target,
        "service": str(test.service),
        "expect": test.expect.value,
        "passed": outcome.passed,
        "problem": outcome.problem,
        "source": f"{test.source.file}:{test.source.line}",
        "wrong": [
            answer_data(TraceAnswer(test.origin, test.target, c, v)) for c, v in outcome.wrong
        ],
    }


def _write_junit(path: Path, policy: str, outcomes: Sequence[PolicyTestResult]) -> None:
    failed = sum(not outcome.passed for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite",
        name=printable(policy),
        tests=str(len(outcomes)),
        failures=str(failed),
        errors="0",
    )
    for outcome in outcomes:
        source = outcome.test.source
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=printable(policy),
            name=printable(_title(outcome)),
            file=printable(source.file),
            line=str(source.line),
        )
        if not outcome.passed:
            reasons = [printable(line) for line in _reasons(outcome)]
            failure = ElementTree.SubElement(case, "failure", message=reasons[0])
            failure.text = "\n".join(reasons)
    try:
        ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as problem:
        raise CommandError(f"{path}: {problem.strerror}") from None

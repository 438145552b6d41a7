"""``septum policy check``: all errors and warnings of a policy."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from console.errors import NO
from console.options.feeds import feed_problems
from console.options.network import DescribedSwitches, Links, SwitchesFile
from console.options.policy import At, IncludeRoot, Json, Paths, count, moment, present, print_json
from console.views.envelope_limits import limit_lines, limits_data
from console.views.rule_problems import Fallback, fallbacks, rule_problems
from policies.language.errors import Diagnostic, printable, render
from policies.language.reader import read_policy
from policies.review.lint import check_policy
from policies.semantics.membership import Membership


def register(policy_app: typer.Typer) -> None:
    policy_app.command("check")(check)


def check(
    policy: Paths,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings too.")] = False,
    table_size: Annotated[
        int | None,
        typer.Option(
            "--table-size",
            min=1,
            help="Warn where a switch's table needs more rules than this and --switches gives no "
            "size.",
        ),
    ] = None,
    switches: SwitchesFile = None,
    link: Links = None,
    as_json: Json = False,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Report all errors of a policy, and what is probably a mistake.

    Of the `adaptive` section it says which limits are not written, so taken by default, and how
    many hosts of each segment with `adapt: auto` they let machines block at once.

    With --switches also report what switches without connection tracking lose, and which of their
    tables are too small. Exit 0: valid; 1: it has an error (with --strict also: a warning).

    Example:

        septum policy check policies/examples/shop.yaml --strict
    """
    result = read_policy(present(policy), include_roots=include_root or ())
    network = DescribedSwitches.of(switches, link)
    weaker: tuple[Fallback, ...] = ()
    found = list(result.diagnostics)
    membership = None if result.policy is None else Membership(result.policy)
    if result.policy is not None and membership is not None:
        found += check_policy(result.policy, membership, moment(at))
        found += feed_problems(result.policy)
        found += rule_problems(result.policy, network, table_size, moment(at))
        found.sort(key=lambda diagnostic: diagnostic.source)
        weaker = fallbacks(result.policy, network)
    errors = sum(diagnostic.level == "error" for diagnostic in found)
    valid = not errors and result.policy is not None and not (strict and found)
    if as_json:
        print_json(
            {
                "valid": valid,
                "policy": None if result.policy is None else result.policy.name,
                "errors": errors,
                "warnings": len(found) - errors,
                "diagnostics": [_diagnostic_data(diagnostic) for diagnostic in found],
                "fallbacks": [
                    {"kind": each.target.value, "switches": each.switches, "loses": each.losses}
                    for each in weaker
                ],
                "adaptive": None
                if result.policy is None or membership is None
                else limits_data(result.policy, membership),
            }
        )
    else:
        for diagnostic in found:
            typer.echo(render(diagnostic, result.texts))
        for each in weaker:
            names = ", ".join(map(str, each.switches))
            typer.echo(f"{each.target.value} rules, without connection tracking, on {names} lose:")
            for loss in each.losses:
                typer.echo(f"  - {loss}")
        if result.policy is not None and membership is not None:
            for line in limit_lines(result.policy, membership):
                typer.echo(printable(line))
        state = "valid" if valid else "not valid"
        counts = f"{count(errors, 'error')}, {count(len(found) - errors, 'warning')}"
        typer.echo(f"{printable(' '.join(policy))}: {state}, {counts}")
    raise typer.Exit(0 if valid else NO)


def _diagnostic_data(diagnostic: Diagnostic) -> dict[str, Any]:
    source = diagnostic.source
    return {
        "level": diagnostic.level,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": source.file,
        "line": source.line,
        "column": source.column,
        "suggestion": diagnostic.suggestion,
    }

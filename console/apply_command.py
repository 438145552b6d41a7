"""``septum policy apply``: put another policy in force on a running controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.controller import ask_controller
from console.errors import NO
from policies.errors import render
from policies.reader import read_policy


def register(policy_app: typer.Typer) -> None:
    policy_app.command("apply")(apply_policy)


def apply_policy(
    policy: Annotated[list[str], typer.Argument(help="Policy files or directories.")],
    state: Annotated[Path, typer.Option(help="State directory of the controller.")] = Path(
        "septum-state"
    ),
) -> None:
    """Check a policy and put it in force on the running controller, as a difference.

    A policy with an error exits 1 with every error, and the running one stays as it is.

    Example:

        septum policy apply policies/examples/shop.yaml --state ./septum-state
    """
    result = read_policy(policy)
    for diagnostic in result.diagnostics:
        typer.echo(render(diagnostic, result.texts), err=True)
    if result.policy is None:
        raise typer.Exit(NO)
    paths = [str(Path(path).resolve()) for path in policy]
    answer = ask_controller(state, {"do": "apply", "paths": paths})
    if not answer["ok"]:
        for problem in answer["errors"]:
            typer.echo(problem, err=True)
        raise typer.Exit(NO)
    typer.echo(f"policy {answer['policy']} is in force")

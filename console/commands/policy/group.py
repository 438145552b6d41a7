"""``septum policy …``: check, compile, query and apply policies."""

from __future__ import annotations

import typer

from console.commands.policy import (
    apply,
    check,
    compile,
    diff,
    recommend,
    schema,
    services,
    simulate,
    test,
    trace,
    verify,
)

COMMANDS = (
    check,
    trace,
    test,
    simulate,
    recommend,
    services,
    schema,
    compile,
    diff,
    verify,
    apply,
)
"""Modules of the sub-commands, in the order of ``septum policy --help``."""


def register(app: typer.Typer) -> None:
    """Add ``policy`` with its sub-commands."""
    policy = typer.Typer(no_args_is_help=True, help="Check, compile, query and apply policies.")
    for command in COMMANDS:
        command.register(policy)
    app.add_typer(policy, name="policy")

"""``septum policy schema``: the JSON Schema of policy files."""

from __future__ import annotations

import typer

from policies.language.json_schema import schema_text


def register(policy_app: typer.Typer) -> None:
    policy_app.command("schema")(schema)


def schema() -> None:
    """Print the JSON Schema of policy files, for editors.

    Example:

        septum policy schema > septum-policy.json
    """
    typer.echo(schema_text(), nl=False)

"""``septum policy services``: the names of services that intents may use."""

from __future__ import annotations

from typing import Annotated

import typer

from console.options.policy import IncludeRoot, Json, loaded, print_json
from console.views.tables import print_table
from policies.language.assigned_services import ASSIGNED


def register(policy_app: typer.Typer) -> None:
    policy_app.command("services")(list_services)


def list_services(
    policy: Annotated[
        list[str] | None, typer.Argument(help="Policy files or directories; none: built-in names.")
    ] = None,
    as_json: Json = False,
    include_root: IncludeRoot = None,
) -> None:
    """List the services that an intent may name: those built in, and those of a policy.

    A policy's own definition takes the place of a built-in one.

    Example:

        septum policy services policies/examples/shop.yaml
    """
    own = dict(loaded(policy, include_root).services) if policy else {}
    rows = [
        {
            "name": name,
            "services": [str(each) for each in services],
            "defined": "policy" if name in own else "built in",
        }
        for name, services in sorted({**ASSIGNED, **own}.items())
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "means", "defined"),
        ((str(r["name"]), ", ".join(r["services"]), str(r["defined"])) for r in rows),
    )

"""``septum run``: the controller, started on a checked policy."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.checkpoints.targets import HELP, CommandTarget, read_target
from analysis.python_program import command
from console.errors import NO, CommandError
from console.options.network import SwitchesFile, switches_at
from console.options.policy import IncludeRoot
from policies.language.errors import render
from policies.language.reader import read_policy

OPENFLOW_PORT = 6653
ANALYSES = ("process", "inline", "none")


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    policy: Annotated[
        list[str], typer.Option("--policy", "-p", help="Policy file or directory; repeatable.")
    ],
    state: Annotated[
        Path, typer.Option(help="Directory for decisions, audit and discovered hosts.")
    ] = Path("septum-state"),
    of_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="TCP port for OpenFlow switches; 6653, or none with --of-ssl-port.",
        ),
    ] = None,
    of_ssl_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="TCP port for switches over TLS."),
    ] = None,
    of_key: Annotated[Path | None, typer.Option(help="TLS: our private key, PEM.")] = None,
    of_cert: Annotated[Path | None, typer.Option(help="TLS: our certificate, PEM.")] = None,
    of_ca: Annotated[
        Path | None, typer.Option(help="TLS: authority that signs switches' certificates, PEM.")
    ] = None,
    of_host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    analysis: Annotated[
        str,
        typer.Option(
            help="Learn and decide in a second `process`, `inline` in this one, or `none`."
        ),
    ] = "process",
    adapt: Annotated[
        bool, typer.Option("--adapt/--no-adapt", help="Whether alerts may become decisions.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of the learners.")] = 0,
    switches: SwitchesFile = None,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Take over switches that another controller owns."),
    ] = False,
    expect_switches: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Print `ready` only when this many switches are. Default: at least one that the "
            "policy names.",
        ),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written when ready, removed at the end.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    include_root: IncludeRoot = None,
    checkpoint_to: Annotated[
        list[str] | None,
        typer.Option(help=f"Where checkpoints of the audit are sent: {HELP}; repeatable."),
    ] = None,
) -> None:
    """Run the controller on a policy.

    Installs the policy on every switch that connects, observes connections, and acts on what it
    learns within the policy's `adaptive` limits. Prints `ready` when all switches have their rules.
    SIGTERM or Ctrl-C ends it; the switches keep their rules.

    Example:

        septum run --policy policies/examples/shop.yaml --state ./septum-state
    """
    if analysis not in ANALYSES:
        raise CommandError(f"--analysis {analysis}: choose one of {', '.join(ANALYSES)}")
    tls = _tls(of_ssl_port, of_key, of_cert, of_ca)
    if of_port is None and of_ssl_port is None:
        of_port = OPENFLOW_PORT
    _check_targets(checkpoint_to or [], analysis)
    switches_at(switches)
    result = read_policy(policy, include_roots=include_root or ())
    for diagnostic in result.diagnostics:
        typer.echo(render(diagnostic, result.texts), err=True)
    if result.policy is None:
        raise typer.Exit(NO)
    settings = {
        "policy_paths": policy,
        "state": str(state),
        "host": of_host,
        "port": of_port,
        "ssl_port": of_ssl_port,
        "tls": tls,
        "analysis": analysis,
        "adapt": adapt,
        "seed": seed,
        "ready_file": None if ready_file is None else str(ready_file),
        "expect_switches": expect_switches,
        "switches": switches,
        "takeover": takeover,
        "verbose": verbose,
        "include_roots": include_root or (),
        "checkpoint_to": checkpoint_to or (),
    }
    # The controller's runtime patches the standard library before its first import, so this
    # process turns into it.
    sys.stdout.flush()
    sys.stderr.flush()
    program = command("ryu_apps", json.dumps(settings))
    os.execv(program[0], program)


def _check_targets(targets: list[str], analysis: str) -> None:
    if targets and analysis == "none":
        raise CommandError("--checkpoint-to: without an analysis there are no checkpoints")
    for each in targets:
        try:
            target = read_target(each)
        except ValueError as problem:
            raise CommandError(f"--checkpoint-to {problem}") from None
        if isinstance(target, CommandTarget) and not os.access(target.arguments[0], os.X_OK):
            raise CommandError(f"--checkpoint-to {each}: {target.arguments[0]} cannot be run")


def _tls(
    port: int | None, key: Path | None, certificate: Path | None, authority: Path | None
) -> dict[str, str] | None:
    """The TLS files by what they are for; all of them, or none."""
    files = {"key": key, "certificate": certificate, "authority": authority}
    if port is None and not any(files.values()):
        return None
    if port is None or not all(files.values()):
        raise CommandError("--of-ssl-port, --of-key, --of-cert and --of-ca belong together")
    for path in files.values():
        if path is not None and not path.is_file():
            raise CommandError(
                f"{path}: no such file; `septum certificates` makes test certificates"
            )
    return {name: str(path) for name, path in files.items()}

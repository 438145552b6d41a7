"""``septum demo`` and ``septum lab``."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from console.terminal import drawing
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import LabError, LabPlan, plan_from_policy, read_topology
from mininet_tests.lab.programs import prepare_site, start_services
from mininet_tests.scenario.day import Day
from mininet_tests.scenario.demo import LONGEST_DAY, Options, Tell, play
from mininet_tests.scenario.report import as_json, headline, show
from mininet_tests.scenario.scenario import SCENARIOS, Scenario, read_scenario
from mininet_tests.scenario.schedule import benign_day
from mininet_tests.scenario.timeline import problems
from policies.language.reader import load_policy

NOT_CONTAINED = 1


def register(app: typer.Typer) -> None:
    """Add the lab's commands."""
    app.command("demo")(demo)
    app.command("lab")(lab)


def demo(
    no_adapt: Annotated[
        bool, typer.Option("--no-adapt", help="No machine decisions: the attack succeeds.")
    ] = False,
    benign_only: Annotated[
        bool, typer.Option("--benign-only", help="Only the benign day: nothing may be decided.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Draws the benign day.")] = 1,
    as_data: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    of_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="OpenFlow port [default: a free one].")
    ] = None,
    keep_state: Annotated[
        Path | None, typer.Option(help="Keep the controller's state in this new directory.")
    ] = None,
) -> None:
    """Run a day with an attack on real switches; exit 0 only if it was contained.

    Twelve hosts on three switches run real servers and clients. A web server turns hostile: it
    sweeps its neighbours and hops on over ssh, which the policy allows. Needs root.

    Example: septum demo --seed 3
    """
    options = Options(seed, not no_adapt, benign_only, of_port, keep_state)
    scenario = read_scenario(SCENARIOS / "demo.yaml")
    with terminable(), progress() as tell:
        result = play(scenario, options, tell)
    found = problems(result)
    if as_data:
        print(json.dumps(as_json(result), indent=2))
    else:
        show(Console(file=drawing(sys.stdout), markup=False), result, headline(result))
    raise typer.Exit(NOT_CONTAINED if found else 0)


def lab(
    topology: Annotated[
        Path, typer.Argument(help="A topology file, or a policy whose hosts are built.")
    ],
    scenario: Annotated[
        Path | None, typer.Option(help="Run this scenario's servers and benign day on it.")
    ] = None,
    controller: Annotated[
        str | None, typer.Option(metavar="tcp:HOST:PORT", help="Where the switches connect to.")
    ] = None,
    shell: Annotated[bool, typer.Option("--shell", help="Open the Mininet prompt.")] = False,
    seed: Annotated[int, typer.Option(help="Draws the benign day.")] = 1,
) -> None:
    """Build a Mininet network that lasts until Ctrl-C, or until its prompt is left. Needs root.

    Without a controller the switches forward nothing until rules are written.

    Example: septum lab policies/examples/shop.yaml --controller tcp:127.0.0.1:6653 --shell
    """
    played = None if scenario is None else read_scenario(scenario)
    plan = _plan(topology, played)
    with terminable(), Lab(plan, controller) as network:
        for dpid in plan.switches:
            typer.echo(f"switch {dpid}: bridge {network.bridge(dpid)}", err=True)
        day = None if played is None else _begin(network, played, seed)
        try:
            if shell:
                network.shell()
            else:
                typer.echo("running; Ctrl-C takes the network down", err=True)
                while True:
                    time.sleep(1)
        finally:
            if day is not None:
                day.abandon()


def _plan(path: Path, scenario: Scenario | None) -> LabPlan:
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        document = None  # the reader below says what is wrong with it
    if isinstance(document, dict) and document.get("kind") == "SegmentPolicy":
        plan = plan_from_policy(load_policy([path]), scenario.links if scenario else None)
    else:
        plan = read_topology(path)
    missing = scenario.names() - set(plan.names) if scenario else set()
    if missing:
        raise LabError(
            f"{path}: the scenario needs hosts it does not have: {', '.join(sorted(missing))}"
        )
    return plan


def _begin(network: Lab, scenario: Scenario, seed: int) -> Day:
    site = prepare_site(network, scenario.keys)
    start_services(site, scenario.services)
    addresses = {host.name: host.ips for host in network.plan.hosts}
    return Day(site, benign_day(scenario.benign, addresses, seed, LONGEST_DAY))


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let TERM and a closed terminal unwind the stack as Ctrl-C does: all is taken down."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def progress() -> Iterator[Tell]:
    """A line on standard error that says what is going on; plain lines where it is no terminal."""
    console = Console(file=drawing(sys.stderr))
    if not console.is_terminal:
        last = ""

        def plain(text: str) -> None:
            nonlocal last
            topic = text.partition(":")[0]  # counts change all the time, topics do not
            if topic != last:
                print(text, file=sys.stderr, flush=True)
            last = topic

        yield plain
        return
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("")
        yield lambda text: shown.update(task, description=text)

"""``septum collect``: flow exports of routers as evidence for the running analysis."""

from __future__ import annotations

import signal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from analysis.clock.steady import CLOCK
from analysis.clock.system import clock_of_day
from analysis.collector.flow_collector import FlowCollector
from analysis.collector.process import CollectorProcess, listening
from console.clients.state_directory import DEFAULT_STATE, State
from console.errors import CommandError
from response.private_state import check_state


def register(app: typer.Typer) -> None:
    app.command("collect")(collect)


def collect(
    netflow: Annotated[
        str,
        typer.Option(help="Address and port for NetFlow 5 and 9 and IPFIX; `:2055` is loopback's."),
    ] = ":2055",
    exporter: Annotated[
        list[str] | None,
        typer.Option("--exporter", help="Listen to this address only; repeatable."),
    ] = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Collect flow exports, as evidence for switches that send no copies of connections.

    Runs until Ctrl-C beside `septum run`, on the same state directory. A connection that our own
    switches have reported is not counted again. Nothing authenticates a flow export: a decision
    that rests on nothing else is proposed to a person, unless the policy lists the exporter in
    `adaptive: trusted_exporters`. `septum status` shows what each exporter sent, and what was lost.

    Example:

        septum collect --netflow 192.0.2.10:2055 --exporter 192.0.2.1
    """
    host, port = _address(netflow)
    permitted = [_exporter(each) for each in exporter or ()]
    if not ip_address(host).is_loopback and not permitted:
        raise CommandError(
            f"{host} is not loopback: name the exporters to listen to with --exporter ADDRESS"
        )
    if not (check_state(state) / "septum.db").exists():
        raise CommandError(f"{state}: no state directory of a controller; give its --state")
    try:
        listener = listening(host, port)
    except OSError as problem:
        raise CommandError(
            f"cannot listen on {host} port {port}: {problem.strerror}; choose another --netflow"
        ) from None
    stopped = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    CLOCK.follow(state)
    collector = FlowCollector(permitted)
    typer.echo(f"collecting on {host} port {listener.getsockname()[1]}")
    with listener:
        CollectorProcess(collector, listener, Path(state), _log).serve(lambda: stopped)
    for each in collector.counts():
        typer.echo(
            f"{each.address}: {each.datagrams} datagrams, {each.rows} rows, {each.lost} lost"
        )


def _log(line: str) -> None:
    typer.echo(f"{clock_of_day()} {line}", err=True)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        if not colon or not 0 <= int(port) <= 65_535:
            raise ValueError
        return str(ip_address(host)), int(port)
    except ValueError:
        raise CommandError(
            f"--netflow {text}: write ADDRESS:PORT, as 192.0.2.10:2055, [::1]:2055 or :2055"
        ) from None


def _exporter(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise CommandError(f"--exporter {text}: write an address, as 192.0.2.1") from None

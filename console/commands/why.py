"""``septum why``: one answer to why a host, or a connection, does not work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from analysis.clock.steady import time_in
from console.clients.controller import ask_controller
from console.clients.in_force import InForce, in_force
from console.clients.state_directory import DEFAULT_STATE, AsJson, State, opened
from console.diagnosis.diagnose import ConnectionQuestion, diagnose
from console.diagnosis.situation import NamedEnd, Situation, SwitchState, UnknownEnd, end_of
from console.errors import CommandError
from console.views.diagnosis_text import diagnosis_data, diagnosis_lines
from policies.review.placement import ConnectedSwitch
from response.state.interfaces import FlowFilter, StoredFlow
from response.state.store import Store
from topology.records import Binding, DroppedSource

NEWEST = 20  # connections looked at


def register(app: typer.Typer) -> None:
    app.command("why")(why)


def why(
    host: Annotated[str, typer.Argument(help="Host name, address or MAC.")],
    target: Annotated[
        str | None, typer.Option("--to", help="Responder: host name, address or MAC.")
    ] = None,
    service: Annotated[
        str | None, typer.Option("--service", help="Service name or literal, like tcp/22.")
    ] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Tell why a host, or its connection to another, does not work, and what to do.

    Looks at everything on a packet's way, in order: whether the switch is connected and has its
    rules, the declared port against what is plugged in there, MAC, VLAN, dropped source addresses,
    machine decisions, threat feeds, the running policy, and the last packets seen. The first line
    is the cause, what was looked at follows, what to do comes last.

    Without a running controller the answer rests on the state directory, and says so. Exits 0
    when it has an answer, whatever that is.

    Example:

        septum why web1 --to db1 --service tcp/5432
    """
    if service is not None and target is None:
        raise CommandError("--service needs --to")
    now = time_in(state)
    status, unanswered = _status(state)
    with opened(state, only_read=True) as store:
        held = in_force(store, state, now)
        if status is not None:
            held = _with_hosts(held, status)
        try:
            origin = end_of(host, held)
            other = None if target is None else end_of(target, held)
        except UnknownEnd as problem:
            raise CommandError(str(problem)) from None
        situation = _situation(store, held, status, origin, other, now)
    if status is None:
        situation = replace(situation, unanswered=unanswered)
    found = diagnose(ConnectionQuestion(origin, other, service), situation)
    if as_json:
        data = diagnosis_data(found, situation)
        typer.echo(json.dumps(data, ensure_ascii=False, indent=1))
        return
    for line in diagnosis_lines(found):
        typer.echo(line)


def _status(state: Path) -> tuple[dict[str, Any] | None, str]:
    """What the controller reports; None and the reason where none runs or answers."""
    try:
        return ask_controller(state, {"do": "status"}), ""
    except CommandError as problem:
        return None, str(problem).partition(";")[0]


def _with_hosts(held: InForce, status: dict[str, Any]) -> InForce:
    """With the hosts that the controller knows now: the stored ones may be a moment older."""
    hosts = (
        Binding(each["mac"], each["ip"], each["switch"], each["port"], each.get("host"))
        for each in status["hosts"]
    )
    return replace(held, bindings=tuple(hosts))


def _situation(
    store: Store,
    held: InForce,
    status: dict[str, Any] | None,
    origin: NamedEnd,
    target: NamedEnd | None,
    now: float,
) -> Situation:
    flows: tuple[tuple[int, StoredFlow], ...] = ()
    if origin.addresses and (target is None or target.addresses):
        ends = FlowFilter(
            frozenset(origin.addresses), frozenset(() if target is None else target.addresses)
        )
        flows = store.flows(ends, NEWEST)
    dropped = tuple(seen for _, seen in reversed(store.dropped_sources()))
    if status is not None:
        dropped = tuple(msgspec.convert(each, DroppedSource) for each in status["dropped_sources"])
    return Situation(
        now,
        held,
        None if status is None else tuple(map(_switch_state, status["switches"])),
        dropped,
        store.decisions("proposed"),
        tuple(flow.record for _, flow in flows),
        "" if status is None else status["problem"],
    )


def _switch_state(data: dict[str, Any]) -> SwitchState:
    ports = ConnectedSwitch(data["switch"], frozenset(data["ports"]), frozenset(data["down"]))
    return SwitchState(
        ports,
        data["phase"],
        data["problem"],
        frozenset(data["trunks"]),
        data["table_full"] is not None,
    )

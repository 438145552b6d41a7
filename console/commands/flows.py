"""``septum flows``: observed connections with their verdicts and scores."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from console.clients.state_directory import DEFAULT_STATE, AsJson, State, moment, opened
from console.errors import CommandError
from response.state.interfaces import FlowFilter, StoredFlow
from response.state.store import Store

VERDICTS = ("allow", "would-deny", "deny")
LOOK_AGAIN = 0.5  # seconds between looks with --follow


def register(app: typer.Typer) -> None:
    app.command("flows")(flows)


def flows(
    state: State = DEFAULT_STATE,
    source: Annotated[
        str | None, typer.Option("--from", help="Initiator: host name or address.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", help="Responder: host name or address.")
    ] = None,
    verdict: Annotated[str | None, typer.Option(help=f"One of {', '.join(VERDICTS)}.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many, newest.")] = 100,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new ones until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List observed connections, oldest first: time, ends, service, verdict, score.

    Example:

        septum flows --from web1 --verdict deny
    """
    if verdict is not None and verdict not in VERDICTS:
        raise CommandError(f"--verdict {verdict}: choose one of {', '.join(VERDICTS)}")
    with opened(state) as store:
        names = store.host_names()
        wanted = FlowFilter(
            _addresses(source, names, state), _addresses(target, names, state), verdict
        )
        found = store.flows(wanted, last)
        if as_json and not follow:
            rows = [_as_json(number, flow) for number, flow in found]
            typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
            return
        shown = {address: name for name, held in names.items() for address in held}
        for number, flow in found if not follow else _followed(store, wanted, found):
            if as_json:
                typer.echo(json.dumps(_as_json(number, flow), ensure_ascii=False))
            else:
                typer.echo(_line(flow, shown))


Found = tuple[tuple[int, StoredFlow], ...]


def _followed(store: Store, wanted: FlowFilter, found: Found) -> Iterator[tuple[int, StoredFlow]]:
    """What was found and then whatever comes, each connection once."""
    newest = wanted.after
    while True:
        yield from found
        newest = max((number for number, _ in found), default=newest)
        time.sleep(LOOK_AGAIN)
        later = FlowFilter(wanted.sources, wanted.targets, wanted.verdict, None, newest)
        found = store.flows(later, 10_000)


def _addresses(end: str | None, names: dict[str, list[str]], state: Path) -> frozenset[str]:
    """The addresses of a host by name, or one address in its usual spelling."""
    if end is None:
        return frozenset()
    if end in names:
        return frozenset(names[end])
    try:
        return frozenset({str(ip_address(end))})
    except ValueError:
        raise CommandError(f"{end}: neither an address nor a host known in {state}") from None


def _as_json(number: int, flow: StoredFlow) -> dict[str, Any]:
    return {"row": number, **flow.record.known(), "score": flow.score}


def _line(flow: StoredFlow, names: dict[str, str]) -> str:
    record = flow.record
    ends = f"{_named(record.src_ip, names)} -> {_named(record.dst_ip, names)}"
    verdict = (record.verdict or "-") + (f" ({record.intent})" if record.intent else "")
    score = "" if flow.score is None else f"{flow.score:.4f}"
    return f"{moment(record.ts)}  {ends:<44}  {record.service:<11}  {verdict:<28}  {score}"


def _named(address: str, names: dict[str, str]) -> str:
    name = names.get(address)
    return address if name is None else f"{name} ({address})"

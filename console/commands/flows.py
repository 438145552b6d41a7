"""``septum flows``: observed connections with their verdicts and scores."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from console.clients.state_directory import DEFAULT_STATE, AsJson, State, opened
from console.errors import CommandError
from console.options.policy import count as plural
from console.views.flow_lines import (
    FlowNames,
    counted,
    flow_data,
    flow_key,
    flow_line,
    spoof_data,
    spoof_line,
)
from console.views.tables import print_table
from response.state.interfaces import FlowFilter, StoredFlow
from response.state.store import MAX_FLOWS, Store
from topology.records import DroppedSource

VERDICTS = ("allow", "observed", "would-deny", "deny")
LOOK_AGAIN = 0.5  # seconds between looks with --follow
LISTED = 100


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
    last: Annotated[
        int | None,
        typer.Option(min=1, help="How many, newest. Default: 100, and all with --count."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new ones until Ctrl-C.")
    ] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Count them by verdict and what it rests on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List observed connections, oldest first: time, ends, service, verdict, score.

    A verdict names what it rests on: an intent, the default, a machine decision, a threat feed, or,
    for packets dropped at their port, why they count as spoofed. Spoofed packets are counted for
    some seconds before they are listed, and have no responder. A score is the share of what hosts
    do that is less unusual; where it led to an alert, the alert is named instead.

    `--count` lists the causes instead of the connections, with how many each decided.

    Example:

        septum flows --from web1 --verdict deny
    """
    if verdict is not None and verdict not in VERDICTS:
        raise CommandError(f"--verdict {verdict}: choose one of {', '.join(VERDICTS)}")
    if count and follow:
        raise CommandError("--count and --follow cannot be combined")
    with opened(state) as store:
        known = store.host_names()
        wanted = FlowFilter(
            _addresses(source, known, state), _addresses(target, known, state), verdict
        )
        entry = store.audit_head().seq
        found = _look(store, wanted, last or (MAX_FLOWS if count else LISTED))
        if count:
            _print_counts(found, as_json)
            return
        if as_json and not follow:
            rows = [data for _, data, _ in _rows(found, _NAMELESS)]
            typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
            return
        names = _names(store, known)
        for seen in [found] if not follow else _followed(store, wanted, found, entry):
            for _, data, line in _rows(seen, names):
                typer.echo(json.dumps(data, ensure_ascii=False) if as_json else line)


@dataclass(frozen=True, slots=True)
class _Found:
    """Connections with their row numbers, and spoofed packets with their audit entries'."""

    flows: tuple[tuple[int, StoredFlow], ...]
    spoofs: tuple[tuple[int, DroppedSource], ...]


_NAMELESS = FlowNames({}, {})


def _look(store: Store, wanted: FlowFilter, last: int, after: int = 0) -> _Found:
    """The newest ``last`` of both together; of spoofs those of audit entries after ``after``."""
    flows = store.flows(wanted, last)
    spoofs: list[tuple[int, DroppedSource]] = []
    if not wanted.targets and wanted.verdict in (None, "deny"):
        spoofs = [
            each
            for each in store.dropped_sources(after, last)
            if not wanted.sources or each[1].ip in wanted.sources
        ]
    moments = sorted([flow.record.ts for _, flow in flows] + [seen.ts for _, seen in spoofs])
    since = moments[-last] if len(moments) > last else 0.0
    return _Found(
        tuple(each for each in flows if each[1].record.ts >= since),
        tuple(each for each in spoofs if each[1].ts >= since),
    )


def _rows(found: _Found, names: FlowNames) -> list[tuple[float, dict[str, Any], str]]:
    """Time, JSON and line of each, connections in their stored order."""
    spoofs = [(seen.ts, spoof_data(seen), spoof_line(seen, names)) for _, seen in found.spoofs]
    flows = [
        (flow.record.ts, flow_data(number, flow), flow_line(flow, names))
        for number, flow in found.flows
    ]
    return list(merge(flows, spoofs, key=lambda row: row[0]))


def _names(store: Store, known: dict[str, list[str]]) -> FlowNames:
    hosts = {address: name for name, held in known.items() for address in held}
    alerts = {
        flow_key(record): stored.alert.id for stored in store.alerts() for record in stored.evidence
    }
    return FlowNames(hosts, alerts)


def _print_counts(found: _Found, as_json: bool) -> None:
    rows = counted((flow for _, flow in found.flows), [seen for _, seen in found.spoofs])
    if as_json:
        keys = ("verdict", "decided_by", "count", "unit")
        typer.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
        return
    print_table(
        ("verdict", "decided by", "how many"),
        ((verdict, cause, plural(number, unit)) for verdict, cause, number, unit in rows),
    )


def _followed(store: Store, wanted: FlowFilter, found: _Found, entry: int) -> Iterator[_Found]:
    """What was found and then whatever comes, each once; ``entry`` is the audit entry up to which
    spoofed packets have been found."""
    newest = wanted.after
    while True:
        yield found
        newest = max((number for number, _ in found.flows), default=newest)
        entry = max((number for number, _ in found.spoofs), default=entry)
        time.sleep(LOOK_AGAIN)
        later = FlowFilter(wanted.sources, wanted.targets, wanted.verdict, None, newest)
        found = _look(store, later, 10_000, entry)


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

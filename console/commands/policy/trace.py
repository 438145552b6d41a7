"""``septum policy trace``: the verdict on a connection, and why."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from console.clients.in_force import InForce, in_force
from console.clients.state_directory import moment as utc
from console.clients.state_directory import opened
from console.errors import CommandError
from console.options.feeds import local_listings
from console.options.policy import At, IncludeRoot, Json, loaded, moment, print_json
from console.views.trace_rules import RuleMet, RuleTrace
from policies.language.errors import printable
from policies.language.packet_queries import PacketQueries, QueryError, verdict_data
from policies.model import Connection, Service, Verdict
from policies.semantics.verdict import Judge
from response.decision import Decision


def register(policy_app: typer.Typer) -> None:
    policy_app.command("trace")(trace)


def trace(
    policy: Annotated[
        list[str] | None,
        typer.Argument(help="Policy files or directories. Default with --state: the running one."),
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--from", help="Initiator: host name or address.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", help="Responder: host name or address.")
    ] = None,
    service: Annotated[
        str | None, typer.Option("--service", help="Service name or literal, like tcp/22.")
    ] = None,
    reply: Annotated[
        bool, typer.Option("--reply", help="Trace the reply of that connection.")
    ] = False,
    packets: Annotated[
        str | None, typer.Option("--packets", help="CSV of from,to,service; - for standard input.")
    ] = None,
    rules: Annotated[
        bool | None,
        typer.Option(
            "--rules/--no-rules", help="List the rules. Default: for a single connection."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="State directory: judge by what is in force there now."),
    ] = None,
    as_json: Json = False,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Show what the policy decides about a connection, and why.

    Also lists the rules that the packet matches on the switches where its ends are declared. A
    reply is judged as the connection it belongs to. --packets traces many connections, in order.

    With --state the answer is that of the switches now: by the running policy version (or by the
    given policy), the hosts that were discovered, the machine decisions and the feeds in force.

    Example:

        septum policy trace policies/examples/shop.yaml --from web1 --to db1 --service tcp/5432
    """
    given = [each for each in (origin, target, service) if each is not None]
    if bool(given) == bool(packets) or (given and len(given) < 3):
        raise CommandError("give --from, --to and --service, or --packets FILE")
    if not policy and state is None:
        raise CommandError("give a policy, or --state DIR for the one that is in force there")
    now = moment(at)
    held = _held(policy, include_root, state, now)
    judge = Judge(held.policy, held.membership)
    restrictions = held.restrictions
    listings = held.listings if state else local_listings(held.policy, judge.membership, now)
    queries = PacketQueries(held.policy, held.bindings)
    wanted = rules or (rules is None and bool(given))
    rule_trace = (
        RuleTrace(held.policy, now, held.bindings or None, restrictions, held.feeds)
        if wanted
        else None
    )

    def answer(words: list[str]) -> TraceAnswer:
        connection = queries.packet(*words)
        verdict = judge.verdict(connection, now, restrictions, listings)
        # The rules of a feed are on the switches of a controller that has loaded it, not here.
        shown = rule_trace if verdict.feed is None or state else None
        met = shown.rules_met(connection, reply=reply) if shown else None
        return TraceAnswer(words[0], words[1], connection, verdict, reply, met, held)

    if packets is None:
        one = answer(given)
        if state is not None and not as_json:
            typer.echo(str(held))
        if as_json:
            print_json(answer_data(one))
        else:
            _print_answer(one)
        return
    answers = []
    for words, where in _questions(packets):
        try:
            answers.append(answer(words))
        except QueryError as problem:
            raise CommandError(f"{where}: {problem}") from None
    if as_json:
        print_json([answer_data(each) for each in answers])
    else:
        for each in answers:
            typer.echo(answer_line(each))
            _print_rules(each)


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """A requested connection and its verdict; ``rules`` is None if not requested."""

    origin: str
    target: str
    connection: Connection
    verdict: Verdict
    reply: bool = False
    rules: tuple[RuleMet, ...] | None = None
    in_force: InForce | None = None

    @property
    def decision(self) -> Decision | None:
        """The machine decision that decides."""
        if self.in_force is None or self.verdict.decision is None:
            return None
        return self.in_force.decision(self.verdict.decision)


def _held(
    policy: list[str] | None, include_root: list[str] | None, state: Path | None, now: float
) -> InForce:
    """What the question is judged by: of a policy alone, what it declares."""
    given = loaded(policy, include_root) if policy else None
    if state is None:
        assert given is not None
        return InForce(given, None, ())
    with opened(state) as store:
        return in_force(store, state, now, given)


def _questions(name: str) -> Iterator[tuple[list[str], str]]:
    """Rows of ``from,to,service`` with where they stand; the line of names may be left out."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a text file"
        raise CommandError(f"{printable(name)}: {reason}") from None
    columns = ["from", "to", "service"]
    rows = csv.reader(text.splitlines())
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            where = f"{printable(name)}:{rows.line_num}"
            if not any(cells):
                continue
            if rows.line_num == 1 and set(columns) <= {cell.lower() for cell in cells}:
                columns = [cell.lower() for cell in cells]
                continue
            if len(cells) != len(columns):
                raise CommandError(f"{where}: {len(cells)} cells, not {','.join(columns)}")
            named = dict(zip(columns, cells, strict=True))
            yield [named["from"], named["to"], named["service"]], where
    except csv.Error as problem:
        raise CommandError(f"{printable(name)}:{rows.line_num}: not CSV: {problem}") from None


def answer_data(answer: TraceAnswer) -> dict[str, Any]:
    connection = answer.connection
    rules = {} if answer.rules is None else {"rules": [met.data() for met in answer.rules]}
    return {
        "from": answer.origin,
        "to": answer.target,
        "service": service_text(connection),
        "src_ip": str(connection.src),
        "dst_ip": str(connection.dst),
        "reply": answer.reply,
        **verdict_data(answer.verdict),
        "decision": None if answer.decision is None else answer.decision.id,
        "policy_version": None if answer.in_force is None else answer.in_force.version,
        **rules,
    }


def service_text(connection: Connection) -> str:
    service = Service(connection.proto, connection.port, connection.port)
    return str(service) if "ip/" not in str(service) else str(Service(connection.proto))


def answer_line(answer: TraceAnswer) -> str:
    verdict = answer.verdict
    by = f"feed {verdict.feed}" if verdict.feed else verdict.intent or verdict.tier.value
    if answer.decision is not None:
        by = f"decision {answer.decision.id}"
    fate = "" if verdict.forwarded == (verdict.action == "allow") else ", forwarded all the same"
    arrow = "<-" if answer.reply else "->"
    return printable(
        f"{answer.origin} {arrow} {answer.target} {service_text(answer.connection)}:"
        f" {verdict.action.value} by {by} ({verdict.mode.name.lower()}{fate})"
    )


def _print_answer(answer: TraceAnswer) -> None:
    verdict, connection = answer.verdict, answer.connection
    typer.echo(answer_line(answer))
    if answer.reply:
        typer.echo("  a reply is judged as the connection that it belongs to")
    lines = {
        "addresses": f"{connection.src} -> {connection.dst}",
        "forwarded": "yes" if verdict.forwarded else "no",
        "mode": verdict.mode.name.lower(),
        "tier": verdict.tier.value,
        "intent": verdict.intent or "none",
        "decision": _decision_text(answer.decision),
        "feed": verdict.feed or "",
        "source": "" if verdict.source is None else f"{verdict.source.file}:{verdict.source.line}",
        "from": ", ".join(verdict.from_segments) or "in no segment",
        "to": ", ".join(verdict.to_segments) or "in no segment",
    }
    if (miss := verdict.nearest_miss) is not None:
        why = f"fails in {', '.join(miss.failed)}" if miss.failed else "a deny overrode it"
        lines["nearest miss"] = f"{miss.intent} ({why})"
    for name, text in lines.items():
        if text:
            typer.echo(printable(f"  {name:13}{text}"))
    _print_rules(answer)


def _decision_text(decision: Decision | None) -> str:
    if decision is None:
        return ""
    until = utc(decision.expires)[:-4]
    return f"{decision.id}: {decision.action} of {decision.target} until {until} UTC"


def _print_rules(answer: TraceAnswer) -> None:
    """The rules that come from the policy's words; --json has all."""
    for met in answer.rules or ():
        if met.decides:
            typer.echo(f"  {met}")

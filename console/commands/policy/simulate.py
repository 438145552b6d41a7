"""``septum policy simulate``: what a policy would have done to recorded traffic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from analysis.clock.system import system_time
from console.commands.policy.trace import service_text
from console.errors import NO, CommandError
from console.options.feeds import local_listings
from console.options.policy import At, IncludeRoot, Json, Paths, count, loaded, moment, print_json
from console.options.recording import Flows, Form, NoDecapsulate, recorded
from console.views.tables import listed
from policies.language import scalars
from policies.language.errors import closest, printable
from policies.model import ANY, Policy
from policies.review.recorded_traffic import RecordedTraffic
from policies.review.simulate import (
    DAY,
    Accepted,
    CauseGroup,
    Cut,
    Simulation,
    refused_cuts,
    simulate,
)
from policies.semantics.feed_listings import NOTHING_LISTED
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge

WORDS = {
    "newly-blocked": "newly blocked",
    "newly-allowed": "newly allowed",
    "would-deny": "denied but let through by mode",
    "blocked": "blocked as before",
    "allowed": "allowed as before",
}
_SHOWN_CUTS = 20


def register(policy_app: typer.Typer) -> None:
    policy_app.command("simulate")(simulate_traffic)


def simulate_traffic(
    policy: Paths,
    flows: Flows,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Compare with this policy instead of the recorded outcome."),
    ] = None,
    refuse_days: Annotated[
        float | None,
        typer.Option(
            "--refuse-days",
            help="Exit 1 if a pair that communicated in the last N days would be cut.",
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", help="A pair that may be cut, FROM,TO: host, address, segment."),
    ] = None,
    form: Form = "auto",
    no_decapsulate: NoDecapsulate = False,
    as_json: Json = False,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Judge recorded traffic: what would newly break or open, by intent and segments.

    Feeds that are files count; those on a server are named and left out. Without --against,
    changes are relative to the recorded outcome of each connection. The last
    days are counted back from the newest record whose time is not to come.

    Example:

        septum policy simulate new.yaml --flows flows.csv --against old.yaml --refuse-days 7
    """
    candidate = loaded(policy, include_root)
    membership = Membership(candidate)
    pairs = [_pair(text, candidate) for text in accept or ()]
    now = moment(at)
    listings = local_listings(candidate, membership, now)
    before, before_listings = None, NOTHING_LISTED
    if against:
        old = loaded(against, include_root)
        before = Judge(old, Membership(old))
        before_listings = local_listings(old, before.membership, now)
    traffic = recorded(flows, form, not no_decapsulate)
    found = simulate(
        traffic,
        Judge(candidate, membership),
        now,
        before,
        listings=listings,
        before_listings=before_listings,
    )
    refused: tuple[Cut, ...] = ()
    if not any(found.totals.values()):
        nothing = f"{printable(str(flows))}: no connection in it that a policy judges"
        if refuse_days is not None:
            raise CommandError(f"{nothing}: it cannot tell what the last days would have lost")
        typer.echo(f"{nothing}: it says nothing about the policy", err=True)
    if refuse_days is not None:
        accepted = Accepted(membership, pairs)
        refused = refused_cuts(found, traffic, refuse_days, accepted, system_time())
        ahead = traffic.later_than(system_time() + DAY)
        if ahead:
            typer.echo(
                f"{count(ahead, 'kind')} of connections have times to come: a clock is wrong; "
                "they count as recent",
                err=True,
            )
    if as_json:
        print_json(_data(traffic, found, refused))
    else:
        _print(traffic, found, refused, refuse_days)
    raise typer.Exit(NO if refused else 0)


def _pair(text: str, policy: Policy) -> tuple[str, str]:
    source, comma, target = (part.strip() for part in text.partition(","))
    if not comma or not source or not target:
        raise CommandError(f"--accept {printable(text)}: write FROM,TO")
    known = [each.name for each in policy.segments] + [each.name for each in policy.hosts]
    return _end(source, known), _end(target, known)


def _end(text: str, known: Sequence[str]) -> str:
    """A name of the policy, or an address in the form that addresses are compared in."""
    if text == ANY or text in known:
        return text
    try:
        return str(scalars.address(text))
    except ValueError:
        near = closest(text, known)
        hint = f"; did you mean '{near}'?" if near else ""
        what = "no segment or host of the policy and no address"
        raise CommandError(f"--accept {printable(text)}: {what}{hint}") from None


def _data(traffic: RecordedTraffic, found: Simulation, refused: tuple[Cut, ...]) -> dict[str, Any]:
    return {
        "records": traffic.records,
        "bad": traffic.bad,
        "unjudged": traffic.unjudged,
        "connections": found.totals,
        "groups": [_group_data(group) for group in found.groups],
        "refused": [_cut_data(cut) for cut in refused],
    }


def _group_data(group: CauseGroup) -> dict[str, Any]:
    return {
        "change": group.change,
        "intent": group.intent,
        "feed": group.feed,
        "tier": group.tier,
        "from_segments": list(group.from_segments),
        "to_segments": list(group.to_segments),
        "connections": group.connections,
        "bytes": group.bytes,
        "pairs": len(group.pairs),
        "busiest": [
            {
                "src_ip": str(connection.src),
                "dst_ip": str(connection.dst),
                "service": service_text(connection),
                "connections": times,
            }
            for times, connection in group.busiest
        ],
    }


def _cut_data(cut: Cut) -> dict[str, Any]:
    return {
        "src_ip": str(cut.src),
        "dst_ip": str(cut.dst),
        "connections": cut.connections,
        "last": cut.last,
    }


def _print(
    traffic: RecordedTraffic, found: Simulation, refused: tuple[Cut, ...], days: float | None
) -> None:
    left_out = f", {traffic.bad} bad, {traffic.unjudged} without a protocol to judge"
    typer.echo(
        count(traffic.records, "record") + (left_out if traffic.bad + traffic.unjudged else "")
    )
    for change, total in found.totals.items():
        if total:
            typer.echo(f"{total:>10} {WORDS[change]}")
    for group in found.groups:
        if group.change == "allowed":
            continue
        by = f"feed {group.feed}" if group.feed else group.intent or group.tier
        ends = f"{_names(group.from_segments)} -> {_names(group.to_segments)}"
        typer.echo(
            printable(
                f"{WORDS[group.change]}: {ends} by {by}: "
                f"{count(group.connections, 'connection')}, {count(len(group.pairs), 'pair')}"
            )
        )
        for times, connection in group.busiest:
            what = f"{connection.src} -> {connection.dst} {service_text(connection)}"
            typer.echo(f"    {what} x {times}")
    if refused:
        typer.echo(f"refused: {count(len(refused), 'pair')} of the last {days:g} days would be cut")
        cuts, left = listed(refused, _SHOWN_CUTS)
        for cut in cuts:
            last = datetime.fromtimestamp(cut.last, UTC).isoformat(timespec="seconds")
            typer.echo(
                f"    {cut.src},{cut.dst}  last {last}, {count(cut.connections, 'connection')}"
            )
        if left:
            typer.echo(f"    and {left} more (in a pipe all are listed)")


def _names(segments: tuple[str, ...]) -> str:
    return ",".join(segments) or "(no segment)"

"""``septum feeds check``: what one feed file would put in force, before a policy names it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.clock.system import system_time
from analysis.local_addresses import local_addresses
from console.errors import NO, CommandError
from console.options.policy import IncludeRoot, count, loaded
from console.views.tables import listed
from policies.compiler import declared_bindings
from policies.language.errors import printable
from policies.model import FEED_FORMATS, Feed, Policy
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import Span, network_of
from response.feeds.admission import FeedGuard, guard_of
from response.feeds.change import check_change
from response.feeds.entries import FeedError, Notes
from response.feeds.load import Loaded, load

SHOWN = 20
LIMITS = Feed("", "", "cidr-list")  # the defaults of a policy
LARGEST = 128 * 1024 * 1024  # bytes, as for a feed that is fetched


def check_feed(
    file: Annotated[Path, typer.Argument(help="The feed, as it was downloaded.")],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FEED_FORMATS)}.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="Policy files or directories whose hosts, routers and segments are not listed.",
        ),
    ] = None,
    min_confidence: Annotated[
        int, typer.Option(min=0, max=100, help="Skip entries with a lower confidence.")
    ] = 0,
    may_list_own: Annotated[
        bool, typer.Option("--may-list-own", help="Private addresses and our own may be listed.")
    ] = False,
    max_share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of each address family that it may cover."),
    ] = LIMITS.max_share,
    before: Annotated[
        Path | None,
        typer.Option(help="An earlier copy: whether the feed changes by more than --max-change."),
    ] = None,
    max_change: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Share of its entries that may come or go, above 1,000 of them.",
        ),
    ] = LIMITS.max_change,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every prefix and reason.")
    ] = False,
    include_root: IncludeRoot = None,
) -> None:
    """Read one feed offline: what would be in force, what is refused or skipped, and why.

    Nothing is fetched and no controller is needed. Exit code 1 when the feed as a whole cannot be
    used.

    Example:

        septum feeds check drop.txt --format cidr-list
    """
    if format not in FEED_FORMATS:
        raise CommandError(f"--format {printable(format)}: choose one of {', '.join(FEED_FORMATS)}")
    data = _content(file)
    feed = Feed(
        file.name, str(file), format, min_confidence=min_confidence, may_list_own=may_list_own,
        max_share=max_share, max_change=max_change,
    )  # fmt: skip
    try:
        if before is not None:
            check_change(_content(before), data, feed)
        found = load(data, feed, _guard(policy, include_root), system_time())
    except FeedError as problem:
        if as_json:
            typer.echo(json.dumps({"usable": False, "error": str(problem)}))
        raise CommandError(f"{printable(str(file))}: {problem}", NO) from None
    if as_json:
        typer.echo(json.dumps(_data(found), indent=1))
    else:
        _tell(file, format, found, policy is not None)


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise CommandError(f"{printable(str(file))}: more than {LARGEST >> 20} MiB")
        return file.read_bytes()
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise CommandError(f"{printable(str(file))}: {reason}") from None


def _guard(paths: list[str] | None, include_root: list[str] | None) -> FeedGuard:
    policy = loaded(paths, include_root) if paths else Policy("no policy")
    return guard_of(policy, Membership(policy, declared_bindings(policy)), local_addresses())


def _data(found: Loaded) -> dict[str, Any]:
    return {
        "usable": True,
        "entries": found.entries,
        "in_force": found.in_force,
        "below_min_confidence": found.unsure,
        "not_yet_valid": found.not_yet,
        "ended": found.ended,
        "private_or_own": found.own,
        "listings": [
            {
                "service": None if each.service is None else str(each.service),
                "direction": each.direction,
                "prefixes": list(_networks(each.prefixes)),
            }
            for each in found.listings
        ],
        **{
            name: {
                "count": notes.total,
                "reasons": dict(notes.counts),
                "first": [
                    {"line": note.line, "text": note.text, "reason": note.reason}
                    for note in notes.first
                ],
            }
            for name, notes in _notes(found)
        },
    }


def _tell(file: Path, form: str, found: Loaded, judged: bool) -> None:
    left_out = [
        (found.unsure, "below the wanted confidence"),
        (found.not_yet, "not valid yet"),
        (found.ended, "no longer valid"),
    ]
    prefixes = "1 prefix" if found.prefixes == 1 else f"{found.prefixes} prefixes"
    parts = [f"{found.in_force} in force ({prefixes})"]
    parts += [f"{number} {what}" for number, what in left_out if number]
    parts += [f"{notes.total} {name.replace('_', ' ')}" for name, notes in _notes(found)]
    parts += [f"{found.own} private or ours among the refused"] if found.own else []
    typer.echo(printable(f"{file} as {form}: {found.entries} read, {', '.join(parts)}"))
    for name, notes in _notes(found):
        for reason, times in notes.counts.most_common():
            typer.echo(printable(f"{name.replace('_', ' ')}, {count(times, 'time')}: {reason}"))
        for note in listed(notes.first, SHOWN)[0]:
            typer.echo(printable(f"  {note.line}: {note.text}: {note.reason}"))
    for each in found.listings:
        service = "" if each.service is None else f"  {each.service} ({each.direction})"
        shown, left = listed(each.prefixes, SHOWN)
        for network in _networks(shown):
            typer.echo(f"in force: {network}{service}")
        if left:
            typer.echo(f"in force: {left} more{service}; in a pipe all are listed")
    if not judged:
        typer.echo("no --policy: its own hosts, routers and segments were not looked at")


def _notes(found: Loaded) -> tuple[tuple[str, Notes], ...]:
    return (
        ("refused", found.refused),
        ("unread", found.bad),
        ("passed_over", found.passed_over),
    )


def _networks(prefixes: Iterable[tuple[int, int]]) -> Iterable[str]:
    return (str(network_of(Span(*each))) for each in prefixes)

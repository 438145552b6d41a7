"""``septum policy stage|apply|confirm|rollback|versions``: policies on a running controller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from analysis.clock.steady import time_in
from console.clients.controller import ask_controller
from console.clients.state_directory import DEFAULT_STATE, State, moment, opened, who_asks
from console.errors import NO, CommandError
from console.options.policy import IncludeRoot, Json, present, print_json
from console.terminal import one_line
from console.views.placement_line import placement_line
from console.views.tables import print_table
from policies.language.errors import PolicyError, printable, render
from policies.language.reader import read_policy
from policies.language.scalars import duration
from policies.model import Policy
from policies.review.blast_radius import BlastRadius, blast_radius
from response.state.policy_versions import PolicyVersion, VersionError, Versions

APPLY_TIMEOUT = 120.0  # seconds: a large policy is read and compiled before the answer
Unproven = Annotated[
    bool,
    typer.Option(
        "--unproven", help="Do not wait for the proof. Needs --note, which goes into the audit."
    ),
]
Note = Annotated[str, typer.Option("--note", help="Why, for the record.")]


def register(policy_app: typer.Typer) -> None:
    policy_app.command("stage")(stage)
    policy_app.command("apply")(apply_policy)
    policy_app.command("confirm")(confirm)
    policy_app.command("rollback")(rollback)
    policy_app.command("versions")(versions)


def stage(
    policy: Annotated[list[str], typer.Argument(help="Policy files or directories.")],
    note: Note = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
    include_root: IncludeRoot = None,
) -> None:
    """Check a policy, store it as the next version, and show its blast radius. Nothing changes.

    `septum policy apply` without a policy puts the staged one in force, exactly as stored. A policy
    with an error, or one that does not fit the tables, exits 1.

    Example:

        septum policy stage policies/examples/shop.yaml --note "ticket 4711"
    """
    version, reach = _kept(policy, include_root, note, state)
    answer = _ask(state, {"do": "stage", "version": version.number})
    if as_json:
        print_json({**_short(version), "reach": msgspec.to_builtins(reach), "staged": True})
        return
    typer.echo(f"version {answer['version']} of policy {answer['policy']} is staged")
    typer.echo(f"  {reach}")


def apply_policy(
    policy: Annotated[
        list[str] | None,
        typer.Argument(help="Policy files or directories. Default: the staged version."),
    ] = None,
    confirm_within: Annotated[
        str | None,
        typer.Option(
            "--confirm-within",
            help="Such as 5m: unless `septum policy confirm` is said by then, back to the policy "
            "before.",
        ),
    ] = None,
    note: Note = "",
    unproven: Unproven = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
    include_root: IncludeRoot = None,
) -> None:
    """Check a policy and put it in force on the running controller, as a difference.

    Its rules are proven first, for the network as it is: where a packet would be treated otherwise
    than the policy says, that packet is printed and nothing changes. So it is where the proof takes
    longer than a minute, unless `--unproven` says not to wait.

    Prints the blast radius: how many host pairs can talk before and after; and what is not where
    the policy has it (switches, ports, hosts). A policy with an error exits 1 with every error, and
    the running one stays as it is. With `--confirm-within` it is reverted unless confirmed in time,
    also when this terminal or the controller dies meanwhile; a controller started after the
    deadline reverts first.

    Example:

        septum policy apply policies/examples/shop.yaml --confirm-within 5m
    """
    within = _seconds(confirm_within)
    request: dict[str, Any] = {"do": "apply", "confirm_within": within, **_waived(unproven, note)}
    reach: BlastRadius | None = None
    if policy:
        version, reach = _kept(policy, include_root, note, state)
        request["version"] = version.number
    answer = _ask(state, request)
    inventory = ask_controller(state, {"do": "status"})["inventory"]
    if as_json:
        shown = _short(Versions(state).version(answer["version"]))
        print_json({**shown, "reach": None if reach is None else msgspec.to_builtins(reach),
                    "deadline": answer["deadline"], "inventory": inventory})  # fmt: skip
        return
    typer.echo(f"policy {answer['policy']} is in force (version {answer['version']})")
    if reach is not None:
        typer.echo(f"  {reach}")
    if answer["deadline"] is not None:
        typer.echo(
            f"  until {moment(answer['deadline'])} UTC; say `septum policy confirm` to keep it"
        )
    for each in inventory:
        typer.echo(f"  but {one_line(placement_line(each))}")


def confirm(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Keep the policy that was applied with `--confirm-within`.

    Example:

        septum policy confirm
    """
    answer = _ask(state, {"do": "confirm"})
    if as_json:
        print_json({"version": answer["version"], "was_pending": answer["was_pending"]})
        return
    what = "confirmed" if answer["was_pending"] else "in force; nothing waited to be confirmed"
    typer.echo(f"version {answer['version']} is {what}")


def rollback(
    to: Annotated[
        int | None, typer.Option(help="A version's number. Default: the previous one.")
    ] = None,
    note: Note = "",
    unproven: Unproven = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Put the previous policy version in force again, or any stored one.

    The version is applied as it was stored, not as its files are now, and proven first, as
    `septum policy apply` does.

    Example:

        septum policy rollback --to 3
    """
    answer = _ask(state, {"do": "rollback", "version": to, **_waived(unproven, note)})
    if as_json:
        print_json({"version": answer["version"], "policy": answer["policy"]})
        return
    typer.echo(f"policy {answer['policy']} is in force (version {answer['version']})")


def versions(
    show: Annotated[int | None, typer.Option(help="Print one version's files, as stored.")] = None,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """List the stored policy versions: who, when, digest, and which one is in force.

    Example:

        septum policy versions --json
    """
    with opened(state):
        shelf = Versions(state)
        standing = shelf.standing()
    if show is not None:
        _print_texts(shelf.version(show), as_json)
        return
    found = shelf.all()
    marks = {standing.previous: "previous", standing.staged: "staged",
             standing.in_force: "in force"}  # fmt: skip
    if standing.pending is not None:
        marks[standing.pending.version] = f"until {moment(standing.pending.deadline)[:-4]}"
    if as_json:
        print_json([{**_short(each), "standing": marks.get(each.number)} for each in found])
        return
    print_table(
        ("version", "standing", "when", "who", "digest", "reach", "note"),
        (
            (str(each.number), marks.get(each.number, ""), moment(each.ts)[:-4],
             each.by, each.digest[:12], each.reach, each.note)
            for each in found
        ),
    )  # fmt: skip


def _waived(unproven: bool, note: str) -> dict[str, str]:
    """Why a proof is not waited for. Raises CommandError where nobody says."""
    if unproven and not note.strip():
        raise CommandError("--unproven needs --note: why this cannot wait for its proof")
    return {"unproven": note} if unproven else {}


def _kept(
    paths: Sequence[str], include_root: Sequence[str] | None, note: str, state: Path
) -> tuple[PolicyVersion, BlastRadius]:
    """A policy that is valid, kept as the next version with its blast radius."""
    result = read_policy(present(paths), include_roots=include_root or ())
    for diagnostic in result.diagnostics:
        typer.echo(render(diagnostic, result.texts), err=True)
    if result.policy is None:
        raise typer.Exit(NO)
    ask_controller(state, {"do": "status"})  # who keeps a version for nobody?
    reach = reach_of(result.policy, state)
    version = Versions(state).keep(
        paths, result.contents, who_asks(), time_in(state), note, str(reach)
    )
    return version, reach


def reach_of(policy: Policy, state: Path) -> BlastRadius:
    """What a policy would change for the hosts of a state directory."""
    try:
        current = Versions(state).current()
    except (VersionError, PolicyError):
        current = None
    with opened(state) as store:
        bindings = store.bindings()
    return blast_radius(None if current is None else current[1], policy, bindings, time_in(state))


def _ask(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    answer = ask_controller(state, {**request, "by": who_asks()}, APPLY_TIMEOUT)
    if not answer["ok"]:
        for problem in answer["errors"]:
            typer.echo(problem, err=True)
        raise typer.Exit(NO)
    return answer


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(duration(text))
    except ValueError as problem:
        raise CommandError(f"--confirm-within {printable(text)}: {problem}") from None


def _short(version: PolicyVersion) -> dict[str, Any]:
    return {
        "version": version.number, "ts": version.ts, "by": version.by, "digest": version.digest,
        "paths": list(version.paths), "files": sorted(version.texts), "note": version.note,
        "reach_in_words": version.reach,
    }  # fmt: skip


def _print_texts(version: PolicyVersion, as_json: bool) -> None:
    if as_json:
        print_json({**_short(version), "texts": dict(version.texts)})
        return
    for path, text in version.texts.items():
        typer.echo(f"# {path}")
        typer.echo(text, nl=not text.endswith("\n"))

"""``septum policy diff``: what another policy changes, as pairs, services and rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from console.errors import NO
from console.options.network import DescribedSwitches, Links, SwitchesFile
from console.options.policy import At, IncludeRoot, Json, count, loaded, moment, print_json
from console.views.tables import listed
from policies.compiler import RuleChange
from policies.language.errors import printable
from policies.model import Policy
from policies.review.diff import differences
from policies.review.rule_diff import rule_changes
from policies.review.settings_diff import SettingChange, setting_changes
from policies.review.verdict_difference import ComparedVerdict, PairSide, VerdictDifference

HEADINGS = {
    "opened": "may newly talk",
    "closed": "may no longer talk",
    "judged": "are judged otherwise, and pass or not as before",
}
SHOWN = 50


def register(policy_app: typer.Typer) -> None:
    policy_app.command("diff")(diff)


def diff(
    old: Annotated[str, typer.Argument(help="Current policy file or directory.")],
    new: Annotated[str, typer.Argument(help="New policy file or directory.")],
    switches: SwitchesFile = None,
    link: Links = None,
    as_json: Json = False,
    at: At = None,
    include_root: IncludeRoot = None,
) -> None:
    """Show who may newly talk to whom, who no longer may, and which rules are added and removed.

    All addresses, protocols and ports are compared, not samples; a mere change of notation is no
    difference. Changes of infrastructure protocols, feeds and the adaptive envelope are listed
    too. Exit 0: no change; 1: some.

    Example:

        septum policy diff policies/examples/shop.yaml policies/examples/office.yaml
    """
    before, after = loaded([old], include_root), loaded([new], include_root)
    now = moment(at)
    found = differences(before, after, now)
    changes = rules_changed(before, after, DescribedSwitches.of(switches, link), now)
    settings = setting_changes(before, after)
    if as_json:
        print_json(diff_data(found, changes, settings))
    else:
        typer.echo(diff_text(found, changes, settings), nl=False)
    raise typer.Exit(NO if found or settings else 0)


def rules_changed(
    old: Policy, new: Policy, network: DescribedSwitches, now: float
) -> dict[int, RuleChange]:
    """The rules added and removed on each switch of either policy or the network."""
    known = sorted({*network.known(old), *network.known(new)})
    views = {switch: (network.view(old, switch), network.view(new, switch)) for switch in known}
    return rule_changes(old, new, views, now, network.settings.forms(known))


def diff_text(
    found: tuple[VerdictDifference, ...],
    changes: dict[int, RuleChange],
    settings: tuple[SettingChange, ...],
) -> str:
    lines = [
        f"{each.name}: {each.before or 'none'} before, {each.after or 'none'} now"
        + (f" ({each.effect})" if each.effect else "")
        for each in settings
    ]
    for kind, heading in HEADINGS.items():
        some = [each for each in found if each.kind == kind]
        if some:
            lines.append(f"{heading}:")
            shown, left = listed(some, SHOWN)
            lines += [_line(each) for each in shown]
            if left:
                lines.append(f"  and {left} more (in a pipe all are listed)")
    if not found:
        lines.append("no verdict changes")
    for switch, change in changes.items():
        added, removed = count(len(change.added), "rule"), len(change.removed)
        lines.append(f"switch {switch}: {added} added or altered, {removed} removed")
    return "".join(printable(line) + "\n" for line in lines)


def _line(each: VerdictDifference) -> str:
    services = ", ".join(each.service_names)
    return (
        f"  {each.source} -> {each.target}: {services}, "
        f"{_decided(each.before)} before, {_decided(each.after)} now "
        f"(as {each.source.example} -> {each.target.example})"
    )


def _decided(decided: ComparedVerdict) -> str:
    passes = "" if decided.forwarded == (decided.action == "allow") else f", {decided.mode} passes"
    return f"{decided.action} by {decided.by}{passes}"


def diff_data(
    found: tuple[VerdictDifference, ...],
    changes: dict[int, RuleChange],
    settings: tuple[SettingChange, ...],
) -> dict[str, Any]:
    return {
        "changed": bool(found or settings),
        "settings": [
            {"name": s.name, "before": s.before, "after": s.after, "effect": s.effect}
            for s in settings
        ],
        "pairs": [
            {
                "kind": each.kind,
                "from": _side_data(each.source),
                "to": _side_data(each.target),
                "services": each.service_names,
                "before": _decided_data(each.before),
                "after": _decided_data(each.after),
            }
            for each in found
        ],
        "switches": [
            {"switch": switch, "added": len(change.added), "removed": len(change.removed)}
            for switch, change in changes.items()
        ],
    }


def _side_data(side: PairSide) -> dict[str, Any]:
    return {"before": side.before, "after": side.after, "example": str(side.example)}


def _decided_data(decided: ComparedVerdict) -> dict[str, Any]:
    return {
        "action": decided.action,
        "forwarded": decided.forwarded,
        "mode": decided.mode,
        "by": decided.by,
    }

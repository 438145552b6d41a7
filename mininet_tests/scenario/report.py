"""What a run found, for people (rich) and for programs (JSON)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from msgspec import to_builtins
from rich.console import Console, Group, JustifyMethod
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from console.views.tables import listed
from detection.alert import Alert
from mininet_tests.scenario.timeline import ScenarioResult, Share, problems
from policies.language.errors import printable

SHOWN_FAILURES = 5
SHOWN_FEATURES = 6


def as_json(result: ScenarioResult) -> dict[str, Any]:
    """The whole result as plain values; times in seconds since the epoch."""
    stop = result.containment
    return {
        "success": not problems(result),
        "problems": list(problems(result)),
        "attacker": result.attacker,
        "seconds_to_rule": result.seconds_to_rule,
        "first_hostile": None if result.seen is None else result.seen.first_sent,
        "alert": None if result.alert is None else asdict(result.alert),
        "decision": None if stop is None else to_builtins(stop.decision),
        "rule_confirmed": None if stop is None else stop.rule,
        "last_hostile_through": None if result.seen is None else result.seen.last_through,
        "last_hostile_through_to": None if result.seen is None else result.seen.last_through_to,
        "hosts_reached": None if result.seen is None else result.seen.reached,
        "attack": None if result.attack is None else asdict(result.attack),
        "decisions": to_builtins(result.decisions),
        "benign": [{**asdict(share), "success": share.success} for share in result.shares],
        "failed_requests": [
            {**asdict(outcome.request), "started": outcome.started, "problem": outcome.problem}
            for outcome in result.failures
        ],
    }


def headline(result: ScenarioResult) -> str:
    """The outcome in a line or a few."""
    found = problems(result)
    if result.attacker is None:
        good = "Nothing was decided, and no request failed."
        return good if not found else "A benign day was disturbed: " + "; ".join(found)
    if found:
        return "Not contained, or not unharmed: " + "; ".join(found)
    seconds = result.seconds_to_rule
    count = 0 if result.seen is None else len(result.seen.reached)
    hosts = "no host" if not count else f"{count} host{'s' if count > 1 else ''}"
    return (
        f"Contained {seconds:.3f} s after the first hostile packet, {hosts} reached; "
        "no benign request failed."
    )


def show(console: Console, result: ScenarioResult, outcome: str) -> None:
    """Print the timeline, the alert's explanation, the benign figures and the outcome."""
    if result.seen is not None:
        console.print(_timeline(result))
    if result.alert is not None:
        console.print(_explanation(result.alert))
    console.print(_benign(result.shares))
    failures, left = listed(result.failures, SHOWN_FAILURES)
    for failure in failures:
        who = f"{failure.request.client} → {failure.request.server}"
        console.print(
            f"  failed: {failure.request.pattern}, {who}: {printable(str(failure.problem))}"
        )
    if left:
        console.print(f"  and {left} more failed (in a pipe all are listed)")
    style = "bold red" if problems(result) else "bold green"
    console.print(Panel(Text(outcome, style=style), expand=False, border_style=style))


def _timeline(result: ScenarioResult) -> Table:
    seen, attack, stop = result.seen, result.attack, result.containment
    assert seen is not None and attack is not None
    start = seen.first_sent if seen.first_sent is not None else attack.began
    rows: list[tuple[float, str, str]] = []
    if seen.first_sent is not None:
        rows.append((seen.first_sent, "first hostile packet", f"leaves {result.attacker}"))
    for step in attack.steps:
        rows.append((step.started, f"attacker: {step.what}", f"{step.target}: {step.detail}"))
    for name, ts in seen.reached.items():
        rows.append((ts, "host reached", f"{name} exchanged payload with the attacker"))
    if result.alert is not None:
        alert = result.alert
        about = f"{alert.kind} by {alert.host}, score {alert.score:.4f} ({alert.attack})"
        rows.append((alert.ts, "alert", about))
    if stop is not None:
        decision = stop.decision
        rows.append(
            (decision.ts, "decision", f"{decision.action} {decision.target} for {decision.ttl} s")
        )
        if stop.rule is not None:
            switches = ", ".join(str(s) for s in sorted({rule.switch for rule in decision.rules}))
            rows.append(
                (stop.rule, "rule on switch", f"confirmed by barrier on {switches or 'all'}")
            )
    if seen.last_through is not None:
        arrived = f"arrives at {seen.last_through_to}; {seen.through} of {seen.sent} got through"
        rows.append((seen.last_through, "last hostile packet through", arrived))
    table = Table(title="Timeline", title_justify="left", box=None, pad_edge=False)
    table.add_column("seconds", justify="right")
    table.add_column("what", style="bold", overflow="fold")
    table.add_column("", overflow="fold")
    for ts, what, detail in sorted(rows, key=lambda row: row[0]):
        table.add_row(f"{ts - start:+.3f}", what, printable(detail))
    return table


def _explanation(alert: Alert) -> Group:
    table = Table(title=f"Why: alert {alert.id}", title_justify="left", box=None, pad_edge=False)
    for name in ("feature", "value", "normal", "adds"):
        justify: JustifyMethod = "left" if name == "feature" else "right"
        table.add_column(name, justify=justify, overflow="fold")
    strongest = sorted(alert.features, key=lambda part: -abs(part.contribution))
    shown, _ = listed(strongest, SHOWN_FEATURES)
    for part in shown:
        normal = f"{part.low:.3g} to {part.high:.3g}"
        table.add_row(part.feature, f"{part.value:.4g}", normal, f"{part.contribution:+.3f}")
    if rest := strongest[len(shown) :]:
        table.add_row(f"{len(rest)} more", "", "", f"{sum(p.contribution for p in rest):+.3f}")
    table.add_row("raw score", "", "", f"{alert.raw:.3f}", style="bold")
    hops = " · ".join(f"{hop.src} → {hop.dst} {hop.service}" for hop in alert.path[-4:])
    return Group(Text(), table, Text(f"path: {hops}" if hops else ""))


def _benign(shares: tuple[Share, ...]) -> Table:
    table = Table(title="Benign requests", title_justify="left", box=None, pad_edge=False)
    for name in ("phase", "requests", "failed", "success", "apart"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for share in shares:
        success = "-" if share.success is None else f"{share.success:.1%}"
        table.add_row(
            share.phase, str(share.requests), str(share.failed), success, str(share.apart)
        )
    if any(share.apart for share in shares):
        table.caption = "apart: to or from the quarantined host, after the decision"
    return table

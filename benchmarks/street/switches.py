"""What the switches really do: their own trace against the policy, and life without control."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from benchmarks.runner import Benchmark, Figure, Target
from mininet_tests.experiments import outage
from mininet_tests.experiments.agreement import Agreement, compare
from mininet_tests.experiments.controlled import controlled
from policies.language.reader import load_policy
from topology.records import Link

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "mininet_tests" / "scenarios" / "agreement-policy.yaml"
LINKS = (Link(1, 11, 2, 11), Link(2, 12, 3, 11))
PACKETS = 1000


@cache
def agreement() -> Agreement:
    with controlled(POLICY.read_text(), LINKS, ("--analysis", "none")) as (lab, _):
        return compare(lab, load_policy([POLICY]), PACKETS, seed=2)


@cache
def outage_seen() -> outage.Outage:
    with controlled(outage.POLICY, [Link(1, 9, 2, 9)]) as (lab, controller):
        return outage.measure(lab, controller)


def traced() -> Figure:
    seen = agreement()
    note = f"packets, {seen.ipv6} IPv6, {seen.replies} replies, {seen.crossings} across switches"
    return Figure(seen.asked, note)


def allowed() -> Figure:
    seen = agreement()
    return Figure(seen.allowed_share, f"of them allowed; modes {dict(sorted(seen.modes.items()))}")


def untouched_intents() -> Figure:
    wanted = {intent.name for intent in load_policy([POLICY]).intents}
    missed = wanted - set(agreement().intents)
    return Figure(len(missed), f"of {len(wanted)} intents decided no traced packet")


def disagreements() -> Figure:
    found = agreement().disagreements
    return Figure(len(found), found[0] if found else "trace and verdict, attribution included")


def lost_while_dead() -> Figure:
    seen = outage_seen()
    lost = seen.lines_sent - seen.lines_answered
    refused = seen.tried_while_dead - seen.opened_while_dead
    note = (
        f"of {seen.lines_sent} lines on old connections and {seen.tried_while_dead} new "
        f"connections while the controller was dead; longest wait {seen.longest_wait:.3f} s"
    )
    return Figure(lost + refused, note)


def leaked_while_dead() -> Figure:
    seen = outage_seen()
    return Figure(seen.denied_opened, f"of {seen.denied_tried} denied connections opened")


def resent() -> Figure:
    seen = outage_seen()
    note = f"flow-mods after the restart; youngest rule {seen.youngest_rule:.1f} s old"
    return Figure(seen.resent, note)


BENCHMARKS = (
    Benchmark("street.trace_packets", Target(">=", 500.0), traced),
    Benchmark("street.trace_allowed_share", Target(">=", 0.4), allowed),
    Benchmark("street.trace_intents_missed", Target("==", 0.0), untouched_intents),
    Benchmark("street.trace_disagreements", Target("==", 0.0), disagreements),
    Benchmark("street.outage_lost", Target("==", 0.0), lost_while_dead),
    Benchmark("street.outage_leaked", Target("==", 0.0), leaked_while_dead),
    Benchmark("street.outage_resent", Target("==", 0.0), resent),
)

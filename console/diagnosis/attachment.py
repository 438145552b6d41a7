"""Whether a host is where it should be: its switch, port, MAC, VLAN and source addresses."""

from __future__ import annotations

from collections.abc import Iterator

from console.diagnosis.situation import Finding, NamedEnd, Situation
from console.options.policy import count
from policies.review.placement import (
    PlacementProblem,
    place_text,
    placement_problems,
)
from topology.records import DroppedSource

RECENT = 600.0  # seconds in which dropped packets say how things are now
TAGGED = "a tag of VLAN"  # how `ryu_apps.fabric.host_probes` begins its reason


def attachment(end: NamedEnd, situation: Situation) -> Iterator[Finding]:
    """What is known of one end below its addresses, in the order of a packet's way."""
    dropped = [each for each in situation.dropped if _counts(each, situation)]
    problems = _problems(end, situation, dropped)
    yield from _switch(end, situation, problems)
    yield from _port(end, situation, problems)
    yield from _mac(problems, end)
    yield from _sources(end, situation, dropped, problems)
    if not end.addresses:
        yield Finding(
            "unsure", "address", f"{end.word} has no address yet",
            f"{end.declared_at}give it `ip:`, or let it ask for a lease",
        )  # fmt: skip


def ago(now: float, ts: float) -> str:
    """``12 s ago``, ``3 min ago``, ``2 h ago``."""
    seconds = max(0.0, now - ts)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _counts(seen: DroppedSource, situation: Situation) -> bool:
    """Whether it says how things are: recent, and nothing of that sender passed since."""
    if situation.now - seen.ts > RECENT:
        return False
    return not any(
        flow.ts > seen.ts and flow.src_mac == seen.mac for flow in situation.flows
    )  # fmt: skip


def _problems(
    end: NamedEnd, situation: Situation, dropped: list[DroppedSource]
) -> list[PlacementProblem]:
    """What is not where the policy has it, as far as it concerns this end."""
    connected = [each.ports for each in situation.switches or ()]
    here = (end.switch, end.port)
    return [
        each
        for each in placement_problems(situation.held.policy, connected, dropped)
        if (situation.switches is not None or each.kind in ("elsewhere", "other-mac"))
        and (
            (end.host is not None and end.host.name in each.hosts)
            or (each.port is not None and (each.switch, each.port) == here)
        )
    ]


def _switch(
    end: NamedEnd, situation: Situation, problems: list[PlacementProblem]
) -> Iterator[Finding]:
    absent = [each for each in problems if each.kind == "absent-switch"]
    for each in absent:
        yield Finding("wrong", "switch", f"switch {each.switch} is not connected", each.advice)
    if absent or end.switch is None or situation.switches is None:
        return
    there = situation.switch(end.switch)
    if there is None:
        return
    name = f"switch {end.switch}"
    if there.phase == "standby" or there.problem:
        yield Finding(
            "wrong", "switch", f"{name} has not its rules: {there.problem or there.phase}",
            f"`septum switches` says more about {name}",
        )  # fmt: skip
    elif there.phase != "ready":
        yield Finding(
            "unsure", "switch", f"{name} is connected, and has not got its rules yet",
            "ask again in some seconds",
        )  # fmt: skip
    else:
        yield Finding("fine", "switch", f"{name} is connected and has its rules")
    if there.full:
        yield Finding(
            "wrong", "switch", f"{name} can track no more connections: it denies new ones",
            "look for who opens many (`septum flows`), or let the switch track more",
        )  # fmt: skip


def _port(
    end: NamedEnd, situation: Situation, problems: list[PlacementProblem]
) -> Iterator[Finding]:
    for each in sorted(problems, key=lambda each: each.kind != "elsewhere"):
        own = end.host is not None and end.host.name in each.hosts
        if each.kind == "absent-port" or each.kind == "elsewhere" and own:
            yield Finding("wrong", "port", each.text, end.declared_at + each.advice)
        elif each.kind == "elsewhere":
            where = place_text(end.switch, end.port)
            text = f"{each.hosts[0]} is plugged in at {where}, the port of {end.word}"
            yield Finding("wrong", "port", text, "exchange the cables, or the ports in the policy")
    misplaced = any(each.kind in ("absent-port", "elsewhere") for each in problems)
    there = situation.switch(end.switch) if end.switch is not None else None
    if there is not None and end.port is not None and end.port in there.ports.ports:
        where = place_text(end.switch, end.port)
        if end.port in there.ports.down:
            advice = f"check the cable of {end.word}, and that it is on"
            yield Finding("wrong", "port", f"{where} has no link", advice)
        elif end.port in there.trunks:
            text = f"{where} leads to another switch, the policy has {end.word} there"
            yield Finding("wrong", "port", text, f"{end.declared_at}correct `port:` of {end.word}")
        elif not misplaced:
            how = "is declared on" if end.host and end.host.port else "was found on"
            yield Finding("fine", "port", f"{end.word} {how} {where}, which has a link")
    if end.port is None and not end.found:
        advice = f"check that {end.word} is on, sends something, and is cabled to a switch"
        yield Finding("unsure", "port", f"{end.word} has not been seen on any port", advice)


def _mac(problems: list[PlacementProblem], end: NamedEnd) -> Iterator[Finding]:
    for each in problems:
        if each.kind == "other-mac":
            yield Finding("wrong", "MAC", each.text, end.declared_at + each.advice)


def _sources(
    end: NamedEnd,
    situation: Situation,
    dropped: list[DroppedSource],
    problems: list[PlacementProblem],
) -> Iterator[Finding]:
    """Packets dropped because of their source that the findings above do not explain."""
    explained = {
        (each.switch, each.port) for each in problems if each.kind in ("elsewhere", "other-mac")
    }
    for seen in situation.dropped:
        here = (seen.switch, seen.port)
        own, its_port = seen.mac in end.macs, here == (end.switch, end.port)
        if not (own or its_port or seen.ip in end.addresses) or here in explained:
            continue
        passing = any(flow.src_mac == seen.mac for flow in situation.flows)
        live = seen in dropped and (own or its_port) and not passing
        tagged = seen.reason.startswith(TAGGED)
        who = f"{seen.mac} with {seen.ip}" if seen.ip else seen.mac
        text = (
            f"{count(seen.packets, 'packet')} of {who} dropped on {place_text(*here)}, the last "
            f"{ago(situation.now, seen.ts)}: {seen.reason}"
        )
        yield Finding(
            "wrong" if live else "unsure", "VLAN" if tagged else "source", text,
            _vlan_advice(end) if tagged else _source_advice(end, own and its_port),
        )  # fmt: skip


def _vlan_advice(end: NamedEnd) -> str:
    declared = "none" if end.host is None or end.host.vlan is None else str(end.host.vlan)
    return (
        f"{end.declared_at}the policy gives {end.word} VLAN {declared}, and a port whose hosts are "
        "all in one VLAN carries no tags: take the tag off, or correct `vlan:`"
    )


def _source_advice(end: NamedEnd, at_home: bool) -> str:
    if at_home:
        return f"{end.declared_at}correct `ip:`, or the address on {end.word}"
    return "find out who sends this (`septum flows --verdict deny`)"

"""Whether decisions, feeds and the policy let two ends talk, and what was seen of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from console.diagnosis.attachment import ago
from console.diagnosis.situation import Finding, NamedEnd, Situation
from policies.language.packet_queries import PacketQueries
from policies.model import Action, Connection, Mode, Service, Verdict
from policies.semantics.prefix_sets import number_of
from policies.semantics.prefixes import Listed
from policies.semantics.verdict import Judge
from response.decision import Decision
from topology.records import FlowRecord


@dataclass(frozen=True, slots=True)
class JudgedConnection:
    """What was asked about, and the verdict on it now."""

    connection: Connection
    service: str
    verdict: Verdict


def restrained(end: NamedEnd, situation: Situation, *, decides: bool) -> Iterator[Finding]:
    """Decisions and feeds that name one end. ``decides`` tells whether they are the answer, rather
    than a verdict that follows."""
    held = situation.held
    for each in held.decisions:
        if _covers(each, end):
            blocks = decides and each.action in ("quarantine", "isolate")
            text = f"{each.id}: {each.action} of {each.target}, {each.why}"
            yield Finding("wrong" if blocks else "unsure", "decision", text, release_advice(each))
    for each in situation.proposed:
        if _covers(each, end):
            text = (
                f"{each.id}: {each.action} of {each.target} waits for approval: nothing is blocked"
            )
            advice = f"`septum decisions show {each.id}`, then approve or reject it"
            yield Finding("unsure", "decision", text, advice)
    for block in held.feeds:
        index = Listed(block.prefixes)
        listed = [each for each in end.addresses if index.find(number_of(ip_address(each)))]
        if listed and block.mode is not Mode.OBSERVE:
            blocks = decides and block.mode is Mode.ENFORCE
            does = "denies" if block.mode is Mode.ENFORCE else "only records"
            text = f"feed {block.feed} lists {', '.join(listed)} and {does} its connections"
            yield Finding("wrong" if blocks else "unsure", "feed", text, feed_advice(block.feed))


def _covers(decision: Decision, end: NamedEnd) -> bool:
    """Whether a decision is about an address of the end, or about all of its port."""
    return (
        bool({*end.addresses} & {*decision.addresses}) or (end.switch, end.port) in decision.taken
    )


def release_advice(decision: Decision) -> str:
    return f"`septum decisions show {decision.id}` tells why, `… release {decision.id}` ends it"


def feed_advice(feed: str) -> str:
    return f"`septum feeds list {feed}` tells where it comes from: correct it there"


def segments(end: NamedEnd, situation: Situation) -> Finding:
    """The segments of an end, with the strictest mode."""
    members = situation.held.membership
    found: set[str] = set()
    for address in end.addresses:
        found |= members.segments_of(address)
    mode = members.mode_of(frozenset(found)).name.lower()
    where = f"segments {', '.join(sorted(found))}" if found else "no segment"
    addresses = ", ".join(end.addresses) or "no address"
    text = f"{end.word} ({addresses}) is in {where}, mode {mode}"
    if found or end.host is None:
        return Finding("fine", "segment", text)
    advice = f"{end.declared_at}give {end.word} the labels of a segment"
    return Finding("unsure", "segment", text, advice)


def judged(asked: JudgedConnection, situation: Situation) -> Finding:
    """The verdict in words, with what to change."""
    verdict, held = asked.verdict, situation.held
    what = f"{asked.connection.src} to {asked.connection.dst}, {asked.service}"
    version = "" if held.version is None else f" version {held.version}"
    by = f"policy {held.policy.name}{version}"
    if verdict.decision is not None and (decision := held.decision(verdict.decision)) is not None:
        text = f"{what} is denied by decision {decision.id}: {decision.action} of {decision.target}"
        return Finding("wrong", "decision", f"{text}, {decision.why}", release_advice(decision))
    if verdict.feed is not None and not verdict.forwarded:
        text = f"{what} is denied: feed {verdict.feed} lists one of them"
        return Finding("wrong", "feed", text, feed_advice(verdict.feed))
    cause = f"intent {verdict.intent}" if verdict.intent else "the default"
    at = "" if verdict.source is None else f" ({verdict.source.file}:{verdict.source.line})"
    if verdict.action is Action.ALLOW:
        return Finding("fine", "policy", f"{what} is allowed by {cause}{at} of {by}")
    if verdict.forwarded:
        mode = verdict.mode.name.lower()
        text = f"{what} would be denied by {cause} of {by}; mode {mode} forwards it"
        return Finding("fine", "policy", text)
    miss, near = verdict.nearest_miss, ""
    if miss is not None and miss.failed:
        near = f"; the nearest intent, {miss.intent}, fails in {', '.join(miss.failed)}"
    advice = (
        f"change intent {verdict.intent}{at}" if verdict.intent else
        "write an intent that allows it" + (f", or widen {miss.intent}" if near and miss else "")
    )  # fmt: skip
    return Finding("wrong", "policy", f"{what} is denied by {cause}{at} of {by}{near}", advice)


def judge_one(
    origin: NamedEnd, target: NamedEnd, service: str, situation: Situation
) -> JudgedConnection:
    """The verdict on one connection. Raises QueryError for a service that has many ports."""
    held = situation.held
    queries = PacketQueries(held.policy, held.bindings)
    connection = queries.packet(_query(origin), _query(target), service)
    judge = Judge(held.policy, held.membership)
    verdict = judge.verdict(connection, situation.now, held.restrictions, held.listings)
    one = Service(connection.proto, connection.port, connection.port)
    return JudgedConnection(connection, str(one), verdict)


def _query(end: NamedEnd) -> str:
    return end.host.name if end.host is not None else end.addresses[0]


def services_between(origin: NamedEnd, target: NamedEnd, situation: Situation) -> Finding:
    """Which services one end may use of the other now."""
    held = situation.held
    queries, judge = PacketQueries(held.policy, held.bindings), Judge(held.policy, held.membership)
    restrictions, listings = held.restrictions, held.listings
    passing: dict[str, str] = {}
    barred: set[str] = set()
    for intent in held.policy.intents:
        if intent.action is not Action.ALLOW or not intent.holds(situation.now):
            continue
        for service in intent.services:
            for each in queries.packets(_query(origin), _query(target), service):
                verdict = judge.verdict(each, situation.now, restrictions, listings)
                if verdict.action is Action.ALLOW and verdict.intent == intent.name:
                    passing.setdefault(str(service), intent.name)
                elif verdict.decision is not None or verdict.feed is not None:
                    barred.add(str(service))
    pair = f"{origin.word} to {target.word}"
    if passing:
        shown = [f"{service} (intent {name})" for service, name in passing.items()]
        text = f"{pair} may use {', '.join(shown)}"
        return Finding("fine", "policy", text, "")
    if held.policy.defaults.action is Action.ALLOW:
        return Finding("fine", "policy", f"{pair}: no intent, and the default allows")
    if barred:
        text = f"{pair}: what intents allow is denied by a decision or a feed"
        return Finding("wrong", "policy", text, "see the decision or feed above")
    return _nothing_allows(pair, origin, target, situation)


def _nothing_allows(pair: str, origin: NamedEnd, target: NamedEnd, situation: Situation) -> Finding:
    members = situation.held.membership
    ends = [members.segments_of(end.addresses[0]) for end in (origin, target)]
    mode = max(members.mode_of(each) for each in ends)
    text = f"{pair}: no intent allows any service, and the default denies"
    if mode is not Mode.ENFORCE:
        return Finding("fine", "policy", f"{text}; mode {mode.name.lower()} forwards it")
    return Finding("wrong", "policy", text, "write an intent that allows it")


def last_seen(
    origin: NamedEnd,
    target: NamedEnd | None,
    service: str | None,
    situation: Situation,
) -> Iterator[Finding]:
    """What was seen last between the ends, and whether the responder answered."""
    flows: Sequence[FlowRecord] = [
        each for each in situation.flows if service is None or each.service == service
    ]
    to = "" if target is None else f" to {target.word}"
    what = f"from {origin.word}{to}" + ("" if service is None else f" by {service}")
    if not flows:
        advice = f"check what {origin.word} sends: its gateway, name server and own firewall"
        yield Finding("unsure", "seen", f"no connection {what} was seen", advice)
        return
    last = max(flows, key=lambda each: each.ts)
    decided = " ".join(last.decided_by or ()).strip()
    verdict = f", {last.verdict} ({decided})" if last.verdict else ""
    when = ago(situation.now, last.ts)
    text = f"the last connection {what} began {when}: {last.dst_ip} {last.service}{verdict}"
    yield Finding("fine", "seen", text)
    if last.verdict == "deny" or target is None:
        return
    if last.state == "rejected":
        text = f"{target.word} refused {last.service} {when}: it passed the switches"
        yield Finding("wrong", "answer", text, f"start what should listen on {last.service} there")
    elif last.state == "unanswered":
        text = f"{target.word} did not answer {last.service} {when}, though it passed the switches"
        advice = f"check that {target.word} is on, its own firewall, and its way back"
        yield Finding("wrong", "answer", text, advice)

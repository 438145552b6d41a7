"""Agreement of switch and policy: Open vSwitch's own trace compared with the verdict.

For a drawn connection the trace follows the first packet (or the reply) from
the sender's port over every switch on the way; it arrives at the other host
exactly when the verdict says it is forwarded.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mininet_tests.experiments.traced import final_flow
from mininet_tests.lab.lab import Lab, said
from policies.compiler import declared_bindings
from policies.compiler.probe_packets import binding_of, packet_of
from policies.feed_block import FeedBlock
from policies.model import (
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    TCP,
    UDP,
    Action,
    Connection,
    Host,
    Intent,
    Policy,
    Restriction,
    Service,
    Verdict,
)
from policies.rules.layout import name_number
from policies.rules.ovs_text import field_text
from policies.rules.rule import Field
from policies.semantics.feed_listings import Listings
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from policies.verify.probe import tracking_options
from topology.records import Binding

OUTPUT = re.compile(r"^\s+(?:output:|-> output port is )(\d+)$", re.MULTILINE)
INTENT = re.compile(r"reg1=(0x[0-9a-f]+)")
NEVER_SEEN = (
    Service(TCP, 23, 23),
    Service(TCP, 1, 1),
    Service(UDP, 5000, 5000),
    Service(ICMP, 13, 13),
    Service(132, 9000, 9000),
    Service(47),
)


@dataclass(slots=True)
class Agreement:
    """Numbers of traced packets; ``disagreements`` name each packet."""

    asked: int = 0
    forwarded: int = 0
    allowed: int = 0
    replies: int = 0
    crossings: int = 0
    ipv6: int = 0
    intents: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    @property
    def allowed_share(self) -> float:
        return self.allowed / max(1, self.asked)


def draw(policy: Policy, seed: int) -> Iterator[Connection]:
    """Connections without end: for each intent two it is about, and one of any kind."""
    chance = random.Random(seed)
    membership = Membership(policy, declared_bindings(policy))
    pairs = [
        (one, other, version)
        for one in policy.hosts
        for other in policy.hosts
        for version in (0, 1)
        if one is not other
    ]
    while True:
        for intent in policy.intents:
            about = [each for each in pairs if _about(each, intent, membership)]
            for pair in chance.choices(about, k=2) if about else ():
                yield _connection(chance, pair, intent.services)
            other = chance.choice((NEVER_SEEN, chance.choice(policy.intents).services))
            yield _connection(chance, chance.choice(pairs), other)


def _about(pair: tuple[Host, Host, int], intent: Intent, membership: Membership) -> bool:
    one, other, version = pair
    ends = []
    for host, names in ((one, intent.sources), (other, intent.targets)):
        segments = membership.segments_of(host.ips[version]) or frozenset({"unknown"})
        ends.append("any" in names or bool(segments & set(names)))
    return all(ends)


def _connection(
    chance: random.Random, pair: tuple[Host, Host, int], services: Sequence[Service]
) -> Connection:
    one, other, version = pair
    service = chance.choice(services)
    proto = service.proto if service.proto is not None else chance.choice((TCP, UDP, 132, 47))
    if proto in (ICMP, ICMPV6):
        proto = ICMPV6 if version else ICMP
        kind = 8 if service.low in (8, 128) else 13
        return Connection(one.ips[version], other.ips[version], proto, 128 if version else kind)
    port = 0
    if proto in PORT_PROTOCOLS:
        low, high = service.low or 1, service.high or 65535
        port = chance.choice((low, high, chance.randint(low, high)))
    return Connection(one.ips[version], other.ips[version], proto, port)


def compare(
    lab: Lab,
    policy: Policy,
    count: int,
    seed: int,
    restrictions: Sequence[Restriction] = (),
    feeds: Sequence[FeedBlock] = (),
) -> Agreement:
    """Ask about ``count`` packets, each fourth one a reply."""
    bindings = declared_bindings(policy)
    judge = Judge(policy, Membership(policy, bindings))
    result = Agreement()
    listings = Listings(feeds)
    for connection in draw(policy, seed):
        if result.asked >= count:
            break
        reply = result.asked % 4 == 3
        verdict = judge.verdict(connection, 0.0, restrictions, listings)
        _ask(lab, bindings, connection, verdict, reply, result)
    return result


def _ask(
    lab: Lab,
    bindings: Sequence[Binding],
    connection: Connection,
    verdict: Verdict,
    reply: bool,
    result: Agreement,
) -> None:
    sender = binding_of(str(connection.src), bindings)
    receiver = binding_of(str(connection.dst), bindings)
    assert sender is not None and receiver is not None
    arrived, numbers = follow(lab, connection, sender, receiver, reply)
    result.asked += 1
    result.forwarded += verdict.forwarded
    result.allowed += verdict.action is Action.ALLOW
    result.replies += reply
    result.crossings += sender.switch != receiver.switch
    result.ipv6 += connection.src.version == 6
    result.modes[verdict.mode.name.lower()] += 1
    result.tiers[verdict.tier.value] += 1
    if verdict.intent is not None:
        result.intents[verdict.intent] += 1
    wanted = 0 if verdict.intent is None else name_number(verdict.intent)
    if arrived != verdict.forwarded or (numbers and set(numbers) != {wanted}):
        result.disagreements.append(
            f"{'reply of ' if reply else ''}{connection}: the switch "
            f"{'forwards' if arrived else 'drops'} (intents {numbers}), the policy says {verdict}"
        )


def follow(
    lab: Lab, connection: Connection, sender: Binding, receiver: Binding, reply: bool
) -> tuple[bool, list[int]]:
    """Whether a packet arrives, and the numbers of the intents that switches on its way name."""
    start, goal = (receiver, sender) if reply else (sender, receiver)
    cables = {
        (each.switch, each.port): (each.peer_switch, each.peer_port) for each in lab.plan.links
    }
    cables |= {there: here for here, there in list(cables.items())}
    at = (start.switch, start.port)
    numbers: list[int] = []
    for _ in range(len(lab.plan.switches) + 1):
        packet = packet_of(connection, sender, receiver, in_port=at[1], reply=reply)
        text = trace(lab, at[0], packet, "trk,est,rpl" if reply else "trk,new")
        numbers += _deciding_intent(text)
        outputs = [int(port) for port in OUTPUT.findall(text)]
        if not outputs:
            return False, numbers
        (port,) = outputs
        if (at[0], port) == (goal.switch, goal.port):
            return True, numbers
        at = cables[at[0], port]
    raise AssertionError("the packet goes round in circles")


def _deciding_intent(text: str) -> list[int]:
    """The intent number a switch ended with; nothing where it only passed the packet on."""
    final = final_flow(text)
    if "ct_state" not in final:
        return []
    found = INTENT.search(final)
    return [int(found[1], 16) if found else 0]


def trace(lab: Lab, switch: int, packet: dict[str, int], state: str) -> str:
    """``ofproto/trace`` of one packet, of which connection tracking always says ``state``."""
    names = {"ip_src": "nw_src", "ip_dst": "nw_dst", "ip_proto": "nw_proto"}
    order = sorted(packet, key=lambda name: {"eth_type": 0, "ip_proto": 1}.get(name, 2))
    flow = ",".join(
        field_text(Field(name, packet[name])).replace(name, names.get(name, name), 1)
        for name in order
    )
    argv = ["ovs-appctl", "ofproto/trace", lab.bridge(switch), flow, *tracking_options(state)]
    return said(argv, timeout=10)

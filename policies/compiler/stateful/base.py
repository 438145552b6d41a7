"""The rules that every switch has, whatever the policy: guard, tracking, marks, modes, ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from policies.compiler.common.port_guard import discovery_rule, entrance_rules, unbound_rules
from policies.compiler.common.rule_parts import (
    ETH_ARP,
    ETH_IP,
    ETH_IPV6,
    flag,
    neighbour_fields,
    rule,
)
from policies.compiler.common.services import PORTS
from policies.compiler.stateful.adaptive import adaptive_rules
from policies.compiler.stateful.connection import connection_rules
from policies.compiler.stateful.fragments import fragment_rules, waiting_rules
from policies.compiler.stateful.layouts import GUARD, UNTRACKED, commit_rules, owner_fields
from policies.compiler.stateful.observation import observation_rules
from policies.model import Mode
from policies.rules import layout
from policies.rules.conntrack import CT_NEW, CT_REL, CT_TRK
from policies.rules.layout import DecidedBits, Reason, RuleTable
from policies.rules.rule import (
    Bits,
    Commit,
    CopyToController,
    Field,
    Goto,
    Load,
    Resubmit,
    Rule,
    Track,
    UseMeter,
)

# What the switch does after these is cached for all connections whose registers are the same.
_FORGET = (
    Load(Bits(layout.PROTO.field, 0, 32), 0),
    *(
        Load(Bits(name, low, 64), 0)
        for name in (layout.SOURCE_WIDE, layout.TARGET_WIDE)
        for low in (0, 64)
    ),
)


def base_rules(switch: int) -> Iterator[Rule]:
    """Everything that depends on the switch alone."""
    zone = layout.zone_of(switch)
    yield from _track(zone, switch)
    yield from _commit(zone)
    yield from waiting_rules(zone)


def common_rules() -> Iterator[Rule]:
    """Everything that is the same on every switch under every policy."""
    yield from _locality()
    yield from connection_rules()
    yield from fragment_rules()
    yield from _no_room()
    yield from _decide()
    yield from adaptive_rules()
    yield from observation_rules()


def _locality() -> Iterator[Rule]:
    multicast = Field("eth_dst", 1 << 40, 1 << 40)
    answers = (Field("eth_dst", layout.PROBE_MAC), flag(layout.FROM_EDGE))
    probed = (Load(layout.REASON, Reason.PROBE), Resubmit(RuleTable.REPORT))
    yield rule(RuleTable.LOCALITY, 400, answers, *probed)
    yield rule(
        RuleTable.LOCALITY, 300, (Field("eth_type", ETH_ARP), multicast), Goto(RuleTable.ARP)
    )
    for icmp_type in (135, 136):
        fields = (*neighbour_fields(icmp_type), multicast)
        yield rule(RuleTable.LOCALITY, 300, fields, Goto(RuleTable.ARP))
    # Multicast passes only where its frame and its address say the same.
    yield rule(RuleTable.LOCALITY, 200, (multicast,))
    yield rule(RuleTable.LOCALITY, 0, (), Goto(RuleTable.ARP))


def _track(zone: int, switch: int) -> Iterator[Rule]:
    """Each edge tracks the connections of its own hosts; others only pass through."""
    here = owner_fields(switch)
    for eth_type in (ETH_IP, ETH_IPV6):
        family = Field("eth_type", eth_type)
        track = Track(zone, RuleTable.LISTING)
        yield rule(RuleTable.TRACK, 210, (family, *here), Load(layout.TO_LOCAL, 1), track)
        yield rule(RuleTable.TRACK, 200, (family, flag(layout.FROM_EDGE)), track)
    yield rule(RuleTable.TRACK, 100, (flag(layout.FROM_EDGE),))  # neither IP nor ARP
    yield rule(RuleTable.TRACK, 0, (), Goto(RuleTable.FORWARD))


def _no_room() -> Iterator[Rule]:
    """Rules for connections that a full connection table could not take."""
    new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW)
    report = (Load(layout.REASON, Reason.FULL), Resubmit(RuleTable.REPORT))
    yield rule(RuleTable.FORWARD, 290, (new, UNTRACKED), *report)


def _decide() -> Iterator[Rule]:
    yield rule(RuleTable.MARK_SOURCE, 0, (), Goto(RuleTable.MARK_TARGET))
    yield rule(RuleTable.MARK_TARGET, 0, (), Goto(RuleTable.SOURCE))
    yield rule(RuleTable.EMERGENCY, 0, (), Goto(RuleTable.ADAPTIVE))
    # A deny goes as far as the stricter mode of its two ends.
    for priority, mode, outcome in (
        (300, Mode.ENFORCE, DecidedBits.DENY),
        (200, Mode.AUDIT, DecidedBits.WOULD_DENY),
    ):
        for end in (layout.SOURCE_MODE, layout.TARGET_MODE):
            yield rule(
                RuleTable.MODE,
                priority + (1 if end is layout.SOURCE_MODE else 0),
                (flag(end, mode),),
                Load(layout.OUTCOME, outcome),
                Goto(RuleTable.OBSERVE),
            )
    yield rule(
        RuleTable.MODE, 0, (), Load(layout.OUTCOME, DecidedBits.OBSERVED), Goto(RuleTable.OBSERVE)
    )


def _commit(zone: int) -> Iterator[Rule]:
    """Rules that pass a connection only if it is tracked, since its replies would not pass
    otherwise."""
    new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW)
    commit = Commit(zone, RuleTable.FORWARD, layout.INTENT)
    for eth_type in (ETH_IP, ETH_IPV6):
        yield from commit_rules(100, (Field("eth_type", eth_type), new), commit, _FORGET)
    yield rule(RuleTable.COMMIT, 0, (), Goto(RuleTable.FORWARD))


def helper_commits(switch: int, ports: Iterable[tuple[int, int, str]]) -> Iterator[Rule]:
    """Rules that have a helper read the connections it is for (``ports``: protocol, port, helper).

    Which of them it may let others in for is told by their mark, in `connection.helper_rules`.
    """
    commit = partial(Commit, layout.zone_of(switch), RuleTable.FORWARD, layout.INTENT)
    new = Field("ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW | CT_REL)
    for proto, port, helper in sorted(ports):
        asked = (Field("ip_proto", proto), Field(f"{PORTS[proto]}_dst", port))
        for eth_type in (ETH_IP, ETH_IPV6):
            fields = (Field("eth_type", eth_type), new, *asked)
            yield from commit_rules(150, fields, commit(helper), _FORGET)


def port_rules(edge_ports: tuple[int, ...], trunks: frozenset[int]) -> Iterator[Rule]:
    """Per port: what a trunk passes on, what an edge port may not, its metered copies and the meter
    of its new connections."""
    yield from _copy_rules((*edge_ports, *trunks))
    yield from entrance_rules(GUARD, trunks)
    for port in sorted(set(edge_ports) - trunks):
        yield from unbound_rules(GUARD, Field("in_port", port))
        meter = UseMeter(layout.connection_meter(port))
        yield rule(RuleTable.METER, 100, (Field("in_port", port),), meter)


def link_discovery_rules(ports: Iterable[int]) -> Iterator[Rule]:
    """What it takes to find links, and to copy anything else to the controller."""
    yield discovery_rule(GUARD)
    yield from _copy_rules(ports)


def _copy_rules(ports: Iterable[int]) -> Iterator[Rule]:
    client = flag(layout.REASON, Reason.CLIENT)
    for port in sorted(set(ports)):
        here = Field("in_port", port)
        whole = CopyToController(port, layout.COPIED[Reason.CLIENT])
        yield rule(RuleTable.REPORT, 110, (here, client), whole)
        yield rule(RuleTable.REPORT, 100, (here,), CopyToController(port))

"""Ports that carry several VLANs: their hosts' frames are tagged, everybody else's are not.

A port whose declared hosts are in one VLAN, or in none, is an access port: no
tags there, whatever the VLAN. Where hosts of several VLANs share a port (a
machine with virtual ones on it, a cable to another network) the port is tagged,
and each host's frames carry its VLAN. Inside the fabric nothing is tagged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from policies.compiler.common.refusals import CompileError, served_where_vlans_share
from policies.compiler.common.rule_parts import flag, flags, neighbour_fields, rule
from policies.compiler.stateful.layouts import GUARD, owner_fields
from policies.compiler.stateful.stations import REDIRECT, ROUTER_ADVERTISEMENT, assigning, routing
from policies.model import Host
from policies.rules import layout
from policies.rules.layout import Audience, RuleTable
from policies.rules.rule import (
    Bits,
    Field,
    Load,
    Output,
    OutputRegister,
    PopVlan,
    PushVlan,
    Rule,
    RuleAction,
    match,
)
from topology.addresses import mac_number
from topology.records import Binding

PRESENT = 0x1000  # in ``vlan_vid``: the frame has a tag
RAISE = 220  # what tagged hosts' guard rules stand above those of others, and above `STRANGE`
STRANGE = 399  # a tag where none belongs
TAGGED_GUARD = replace(GUARD, admit=(PopVlan(), *GUARD.admit))
_TAG = Bits("vlan_vid", 0, 12)
Tags = Mapping[tuple[int, int, int], int]  # switch, port and MAC to VLAN


def tags_of(hosts: Iterable[Host], bindings: Iterable[Binding]) -> Tags:
    """The VLAN of every host on a tagged port.

    Raises CompileError for a router or server there, which is not made yet.
    """
    named = {host.name: host for host in hosts if host.vlan is not None}
    if not named:
        return {}
    every = {host.name: host for host in hosts}
    on_port: dict[tuple[int, int], set[int | None]] = {}
    found: dict[tuple[int, int, int], Host] = {}
    for binding in bindings:
        host = every.get(binding.host or "")
        if host is not None:
            on_port.setdefault((binding.switch, binding.port), set()).add(host.vlan)
            found[binding.switch, binding.port, mac_number(binding.mac)] = host
    tags = {}
    for (switch, port, mac), host in found.items():
        if host.vlan is None or len(on_port[switch, port]) < 2:
            continue
        if host.routes or host.serves:
            why = served_where_vlans_share(host, switch, port)
            raise CompileError(f"{host.source}: {why}")
        tags[switch, port, mac] = host.vlan
    return tags


def tagged(rules: Iterable[Rule], vlan: int) -> tuple[Rule, ...]:
    """What a host may send, with its tag on it."""
    tag = Field("vlan_vid", PRESENT | vlan)
    return tuple(
        replace(each, priority=each.priority + RAISE, match=match(*each.match, tag))
        for each in rules
    )


def tag_rules() -> Iterator[Rule]:
    """A tag where none belongs is as good as another's address."""
    yield rule(RuleTable.GUARD, STRANGE, (Field("vlan_vid", PRESENT, PRESENT),), *GUARD.report)


def tagged_rules(tags: Tags, switch: int) -> Iterator[Rule]:
    """Tags for what leaves by a tagged port of a switch."""
    here = sorted((port, vlan) for (where, port, _), vlan in tags.items() if where == switch)
    if not here:
        return
    present = Field("vlan_vid", PRESENT, PRESENT)
    serving = (
        *(assigning(six, offer=True) for six in (False, True)),
        *(routing(kind) for kind in (ROUTER_ADVERTISEMENT, REDIRECT)),
    )
    for fields in serving:  # as for hosts without a tag
        yield rule(RuleTable.GUARD, 203 + RAISE, (*fields, present), *GUARD.report)
    for icmp_type in (135, 136):
        yield rule(
            RuleTable.GUARD, 200 + RAISE, (*neighbour_fields(icmp_type), present), *GUARD.report
        )
    for vlan in sorted({vlan for _, vlan in here}):
        out = (PushVlan(), Load(_TAG, vlan), OutputRegister(layout.OWNER_PORT))
        fields = flags(flag(layout.VLAN, vlan))
        yield rule(RuleTable.FORWARD, 110, (*owner_fields(switch), *fields), *out)
    # What goes to everybody has left without a tag; now once more for each VLAN of a port.
    copies: list[RuleAction] = [PushVlan()]
    for port, vlan in dict.fromkeys((port, vlan) for port, vlan in here):
        copies += [Load(_TAG, vlan), Output(port)]
    yield rule(RuleTable.STATIONS, 100, (flag(layout.AUDIENCE, Audience.EVERYONE),), *copies)

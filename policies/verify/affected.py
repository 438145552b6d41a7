"""What a change can concern: ports, targets, tiers and addresses, from its rules and its hosts.

A rule that comes or goes concerns the packets it matches; a host's place its
port, its MAC and its addresses. What cannot be told asks for a whole proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from policies.compiler import SwitchView
from policies.model import Intent, Policy
from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import SIX
from policies.sequence_diff import differences
from policies.verify.attachment_points import (
    AttachmentPoints,
    number_of_text,
    own_address,
    vlan_tags,
)
from policies.verify.boxes import TIERS
from policies.verify.index import MaskGroup, bits_mask, shape_of
from policies.verify.wildcard_rules import LARGE, is_anchored, is_lent
from topology.records import Binding


class StartAnew(Exception):
    """What a change concerns cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What rules are proven against."""

    policy: Policy
    membership: Membership
    bindings: Sequence[Binding]
    views: Mapping[int, SwitchView]
    now: float

    def live(self) -> dict[str, Intent]:
        """The intents that have not ended, by name."""
        return {each.name: each for each in self.policy.intents if each.holds(self.now)}


@dataclass(slots=True)
class AffectedRules:
    """A change by what it is about."""

    ports: dict[int, set[int]]  # per switch
    tiers: list[Rule] = field(default_factory=list)
    chain: list[Rule] = field(default_factory=list)
    targets: dict[str, set[int]] = field(default_factory=dict)  # per field that names one
    lent: dict[int, list[Rule]] = field(default_factory=dict)  # per switch
    flooding: set[int] = field(default_factory=set)  # switches that flood to other ports
    numbers: set[int] = field(default_factory=set)  # addresses that are bound or no longer

    def add_rule(self, rule: Rule, switches: Iterable[int]) -> None:
        """A rule came or went on some switches."""
        if rule.table in TIERS:
            self.tiers.append(rule)
            return
        if rule.table in LARGE:
            self.chain.append(rule)
            return
        shape, key = shape_of(rule)
        group = MaskGroup(*shape)
        if rule.table == RuleTable.FORWARD and group.mask & bits_mask(layout.FLOODED):
            self.flooding.update(switches)
            if not is_anchored(group):
                return
        if is_lent(rule.table, group):
            for number in switches:
                self.lent.setdefault(number, []).append(rule)
            return
        if not is_anchored(group):
            raise StartAnew("a rule that stands for no one port or target is another")
        names = [name for name, _ in group.big]
        if "in_port" in names:
            for number in switches:
                self.ports[number].add(key[names.index("in_port")])
        else:
            self.targets.setdefault(names[0], set()).add(key[0])

    def move_hosts(self, before: Moment, after: Moment, places: AttachmentPoints) -> None:
        """Hosts came, went or moved: ``places`` are where they were, and are made what they are."""
        gone, come = differences(before.bindings, after.bindings)
        if any(
            host.routes or host.serves
            for some in differences(before.policy.hosts, after.policy.hosts)
            for host in some
        ):
            raise StartAnew("routers are others")
        if places.tags != vlan_tags(after.policy.hosts, after.bindings):
            raise StartAnew("tags are others")
        names = {host.name for known in places.routers.values() for host in known}
        if any(binding.host in names for binding in (*gone, *come)):
            raise StartAnew("routers are elsewhere")
        for binding in gone:
            places.remove(binding)
        for binding in come:
            places.add(binding)
        # Taking an address away may have taken what another binding of the MAC needs.
        for binding in (*gone, *come):
            self._binding(binding)

    def _binding(self, binding: Binding) -> None:
        mac, number = int(binding.mac.replace(":", ""), 16), number_of_text(binding.ip)
        self.numbers.add(number)
        self.targets.setdefault("eth_dst", set()).add(mac)
        for each in (number, own_address(mac)):
            name = "nd_target" if each & SIX else "arp_tpa"
            self.targets.setdefault(name, set()).add(each & ~SIX)
        if binding.switch in self.ports:
            self.ports[binding.switch].add(binding.port)

    def compare_links(self, before: Moment, after: Moment) -> None:
        """Ports of switches came or went."""
        for number, ports in self.ports.items():
            one, other = before.views[number], after.views[number]
            if (one.trunks, one.next_ports, one.tree) != (
                other.trunks,
                other.next_ports,
                other.tree,
            ):
                raise StartAnew("links are others")
            if others := set(one.ports) ^ set(other.ports):
                ports |= others
                self.flooding.add(number)

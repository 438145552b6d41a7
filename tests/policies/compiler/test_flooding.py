"""Multicast on a fabric of compiled switches: everybody once, nobody twice, circles or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler import (
    SwitchView,
    change_between,
    compile_switch,
    declared_bindings,
    view_change,
    view_rules,
)
from policies.compiler.probe_packets import NEW
from policies.model import (
    UDP,
    Action,
    Defaults,
    Host,
    Infrastructure,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
)
from policies.rules import layout
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from topology.addresses import link_local
from topology.fabric import Fabric
from topology.records import Link

NOW = 1_000_000.0
PORTS = (1, 2)
USUAL = Infrastructure()
pairs = st.sets(
    st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda each: each[0] < each[1])
)


def host(switch: int, port: int) -> Host:
    mac = f"02:00:00:00:{switch:02x}:{port:02x}"
    ips = (ip_address(f"10.0.{switch}.{port}"), ip_address(f"fd00::{switch}:{port}"))
    return Host(f"h{switch}{port}", mac, ips, switch, port)


def policy_of(*special: Host, infrastructure: Infrastructure = USUAL) -> Policy:
    names = {each.name for each in special}
    hosts = [host(s, p) for s in range(1, 5) for p in PORTS]
    groups = Segment("groups", (Selector(cidr=ip_network("224.0.0.0/24")),), Mode.ENFORCE)
    allow = Intent("mdns", ("any",), ("groups",), (Service(UDP, 5353, 5353),))
    return Policy(
        "flood",
        (*special, *(each for each in hosts if each.name not in names)),
        (groups,),
        (),
        (allow,),
        Defaults(mode=Mode.ENFORCE, infrastructure=infrastructure),
    )


NOTHING: Mapping[str, int] = {}


class FloodedFabric:
    def __init__(self, policy: Policy, links: set[tuple[int, int]]) -> None:
        self.fabric = Fabric.of(Link(a, 10 + b, b, 10 + a) for a, b in links)
        bindings = declared_bindings(policy)
        membership = Membership(policy, bindings)
        self.switches = {}
        for switch in range(1, 5):
            trunks = self.fabric.trunks(switch)
            ways, tree = self.fabric.next_ports(switch), self.fabric.tree_ports(switch)
            view = SwitchView(switch, (*PORTS, *sorted(trunks)), trunks, ways, tree)
            rules = compile_switch(policy, membership, view, bindings, NOW)
            self.switches[switch] = Interpreter(rules)
        self.cables = {(cable[0], cable[1]): (cable[2], cable[3]) for cable in self._cables()} | {
            (cable[2], cable[3]): (cable[0], cable[1]) for cable in self._cables()
        }

    def _cables(self) -> list[tuple[int, int, int, int]]:
        return [(e.switch, e.port, e.peer_switch, e.peer_port) for e in self.fabric.links]

    def reached(
        self, packet: dict[str, int], at: tuple[int, int], loaded: Mapping[str, int] = NOTHING
    ) -> Counter[tuple[int, int]]:
        """The host ports that copies of a packet leave by; ``loaded``: its registers at first."""
        found: Counter[tuple[int, int]] = Counter()
        waiting = [(at, loaded)]
        for _ in range(100):
            if not waiting:
                return found
            (switch, port), registers = waiting.pop()
            fields = packet | {"in_port": port, **registers}
            for out in self.switches[switch].run(fields, NEW).outputs:
                if (switch, out) in self.cables:
                    waiting.append((self.cables[switch, out], NOTHING))
                else:
                    found[switch, out] += 1
        raise AssertionError("it runs in circles")


def frame(source: Host, target: int, **fields: int) -> dict[str, int]:
    assert source.mac is not None
    mac = int(source.mac.replace(":", ""), 16)
    return {"eth_src": mac, "eth_dst": target, "ip_proto": 17, **fields}


def mdns(source: Host, group: str = "224.0.0.251", target: int = 0x01005E0000FB) -> dict[str, int]:
    fields = {"eth_type": 0x800, "ip_src": int(source.ips[0]), "ip_dst": int(ip_address(group))}
    return frame(source, target, **fields, udp_src=5353, udp_dst=5353)


def near(net: FloodedFabric, switch: int) -> set[tuple[int, int]]:
    joined = {switch, *net.fabric.next_ports(switch)}
    return {(each, port) for each in joined for port in PORTS}


@pytest.mark.thorough
@settings(max_examples=25)
@given(pairs)
def test_an_allowed_group_reaches_everybody_once_and_a_denied_one_nobody(
    links: set[tuple[int, int]],
) -> None:
    net = FloodedFabric(policy_of(), links)
    for sender in ((1, 1), (3, 2)):
        found = net.reached(mdns(host(*sender)), sender)
        assert found == Counter(near(net, sender[0]) - {sender})
        assert not net.reached(mdns(host(*sender), "224.0.1.1", 0x01005E000101), sender)
        assert not net.reached(mdns(host(*sender)) | {"udp_dst": 5354}, sender)
        wrong = [("10.0.2.1", 0x01005E0000FB), ("224.0.0.251", 0xFFFFFFFFFFFF)]
        for group, target in wrong:
            assert not net.reached(mdns(host(*sender), group, target), sender)


def dhcp(source: Host, **other: int) -> dict[str, int]:
    packet = {"eth_type": 0x800, "ip_src": 0, "ip_dst": 0xFFFFFFFF, "udp_src": 68, "udp_dst": 67}
    return frame(source, 0xFFFFFFFFFFFF, **packet | other)


@pytest.mark.thorough
@settings(max_examples=20)
@given(pairs)
def test_who_asks_for_an_address_reaches_the_servers_and_nobody_else(
    links: set[tuple[int, int]],
) -> None:
    servers = [replace(host(*place), serves=("dhcp",)) for place in ((2, 1), (3, 2))]
    net = FloodedFabric(policy_of(*servers), links)
    assert not net.reached(dhcp(host(1, 1)), (1, 1)), "it waits for the controller's word"
    sent_on = {"reg0": 1 << layout.FROM_EDGE.low | 1 << layout.CHECKED.low}
    asked = net.reached(dhcp(host(1, 1)), (1, 1), sent_on)
    assert asked == Counter(near(net, 1) & {(2, 1), (3, 2)})
    assert not net.reached(dhcp(host(1, 2)), (1, 1)), "another host's MAC"
    own = int(host(2, 1).ips[0])
    offer = dhcp(servers[0], udp_src=67, udp_dst=68, ip_src=own)
    assert net.reached(offer, (2, 1)) == Counter(near(net, 2) - {(2, 1)})
    assert not net.reached(dhcp(host(1, 1), udp_src=67, udp_dst=68, ip_src=own), (1, 1))
    rogue = dhcp(host(1, 1), udp_src=67, udp_dst=68, ip_src=int(host(1, 1).ips[0]))
    assert not net.reached(rogue, (1, 1))
    shut = Infrastructure(dhcp=Action.DENY)
    closed = FloodedFabric(policy_of(*servers, infrastructure=shut), links)
    assert not closed.reached(dhcp(host(1, 1)), (1, 1)) and not closed.reached(offer, (2, 1))


def routing(source: Host, kind: int, target: int, sender: int | None = None) -> dict[str, int]:
    assert source.mac is not None
    own = int(link_local(source.mac)) if sender is None else sender
    group = int(ip_address("ff02::2" if kind == 133 else "ff02::1"))
    packet = frame(source, target, eth_type=0x86DD, ipv6_src=own, ipv6_dst=group)
    return packet | {"ip_proto": 58, "icmpv6_type": kind, "icmpv6_code": 0}


@pytest.mark.thorough
@settings(max_examples=20)
@given(pairs)
def test_routers_are_asked_and_heard_and_nobody_else_advertises(
    links: set[tuple[int, int]],
) -> None:
    router = replace(host(2, 2), routes=(ip_network("2000::/3"),))
    net = FloodedFabric(policy_of(router), links)
    everybody = near(net, 2)
    asked = net.reached(routing(host(1, 1), 133, 0x333300000002), (1, 1))
    assert asked == Counter(near(net, 1) & {(2, 2)})
    unnumbered = net.reached(routing(host(1, 1), 133, 0x333300000002, sender=0), (1, 1))
    assert unnumbered == asked
    assert net.reached(routing(router, 134, 0x333300000001), (2, 2)) == Counter(
        everybody - {(2, 2)}
    )
    for kind in (134, 137):
        assert not net.reached(routing(host(1, 1), kind, 0x333300000001), (1, 1))
        assert not net.reached(routing(host(1, 1), kind, 0x020000000101 + 0x100), (1, 1))


views = st.builds(
    lambda ports, trunks, tree, ways: SwitchView(
        1,
        tuple(sorted({*ports, *trunks})),
        frozenset(trunks),
        dict(zip((2, 3, 4), ways, strict=False)),
        frozenset(tree & trunks) if tree is not None else None,
    ),
    st.sets(st.integers(1, 6)),
    st.sets(st.integers(1, 6)),
    st.one_of(st.none(), st.sets(st.integers(1, 6))),
    st.lists(st.integers(1, 6), max_size=3),
)


@given(views, views)
def test_a_changed_view_changes_what_comparing_all_rules_says(
    before: SwitchView, after: SwitchView
) -> None:
    whole = change_between(view_rules(before), view_rules(after))
    quick = view_change(before, after)
    assert {r.key: r for r in whole.added} == {r.key: r for r in quick.added}
    assert {r.key for r in whole.removed} == {r.key for r in quick.removed}

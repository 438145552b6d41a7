"""The installed rules, as Open vSwitch itself traces them, against the policy."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from mininet_tests.experiments.agreement import compare
from mininet_tests.live.conftest import MakeController, MakeLab
from policies.compiler import SwitchView, compile_switch, declared_bindings, meters
from policies.compiler.stateful.adaptive import limit_meters
from policies.feed_block import FeedBlock
from policies.language.reader import load_policy
from policies.model import Envelope, Mode, Restriction, Selector
from policies.rules.ovs_text import ovs_lines
from policies.semantics.membership import Membership
from policies.semantics.prefixes import fewest, prefix_of
from policies.verify import read_rules
from topology.fabric import Fabric
from topology.records import Link

POLICY = Path(__file__).parents[1] / "scenarios" / "agreement-policy.yaml"
LINKS = (Link(1, 11, 2, 11), Link(2, 12, 3, 11))


@pytest.mark.timeout(180)
def test_trace_agrees_with_the_verdict(lab: MakeLab, controller: MakeController) -> None:
    network = lab(POLICY.read_text(), links=LINKS)
    controller(network, extra=("--analysis", "none"))
    policy = load_policy([POLICY])
    result = compare(network, policy, count=600, seed=1)
    assert result.disagreements == []
    assert result.asked >= 500
    assert result.allowed_share >= 0.4
    assert set(result.intents) == {intent.name for intent in policy.intents}
    assert set(result.modes) == {mode.name.lower() for mode in Mode}
    assert result.replies >= 100 and result.crossings >= 100 and result.ipv6 >= 100


@pytest.mark.timeout(120)
def test_trace_agrees_under_decisions_and_feeds(lab: MakeLab) -> None:
    """Rules of every action and of feeds of both modes, put on the switches by hand."""
    network = lab(POLICY.read_text(), links=LINKS)
    policy = load_policy([POLICY])
    policy = replace(policy, envelope=Envelope(protected=(Selector(host="db1"),)))
    hosts = {host.name: host for host in policy.hosts}
    at = {
        name: ((host.switch, host.port),)
        for name, host in hosts.items()
        if host.switch is not None and host.port is not None
    }
    restrictions = [  # on addresses, and on ports whoever is there
        Restriction(1, "quarantine", (), 600.0, at["lab2"]),
        Restriction(2, "isolate", hosts["app1"].ips, 600.0),
        Restriction(3, "rate_limit", hosts["web1"].ips, 600.0),
        Restriction(4, "rate_limit", (), 600.0, at["app1"]),
        Restriction(5, "isolate", (), 600.0, at["web2"]),
    ]
    lists = (
        ("deny", Mode.ENFORCE, ["10.0.6.0/30", "fd00:6::/127"]),
        ("note", Mode.AUDIT, ["10.0.0.0/22", "fd00:1::2/128", "10.0.6.1/32"]),
    )
    feeds = [
        FeedBlock(name, mode, fewest(prefix_of(ip_network(each)) for each in listed))
        for name, mode, listed in lists
    ]
    bindings, fabric = declared_bindings(policy), Fabric.of(LINKS)
    membership = Membership(policy, bindings)
    for switch in network.plan.switches:
        ports = tuple(sorted({each.port for each in bindings if each.switch == switch}))
        view = SwitchView(switch, ports, fabric.trunks(switch), fabric.next_ports(switch))
        needed = (*meters(view), *limit_meters(restrictions, 100, 0.0))
        for meter in needed:
            band = f"pktps,burst,bands=type=drop,rate={meter.rate},burst_size={meter.burst}"
            network.ofctl(switch, "add-meter", f"meter={meter.number},{band}")
        rules = compile_switch(policy, membership, view, bindings, 0.0, restrictions, feeds)
        path = network.directory / f"{switch}.rules"
        path.write_text(ovs_lines(rules))
        network.ofctl(switch, "replace-flows", str(path))
        assert set(read_rules(network.ofctl(switch, "dump-flows").splitlines())) == set(rules)
    result = compare(network, policy, 300, 2, restrictions, feeds)
    assert result.disagreements == []
    assert result.tiers["adaptive"] >= 60 and result.tiers["emergency"] >= 5
    assert result.allowed >= 40 and result.replies >= 50 and result.ipv6 >= 50

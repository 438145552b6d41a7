"""Ports that several VLANs share: tags that belong to hosts, and none elsewhere."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from console.cli import run
from policies.compiler import CompileError, Compiler, SwitchView, declared_bindings
from policies.compiler.probe_packets import NEW, binding_of, packet_of
from policies.model import TCP, Connection, Defaults, Host, Intent, Mode, Policy, Service
from policies.rules.ovs_text import ovs_text
from policies.rules.rule import PopVlan, PushVlan
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from policies.verify.text import read_rule

NOW = 1_000_000.0
VIEW = SwitchView(1, (1, 2))


def host(number: int, port: int, vlan: int | None = None) -> Host:
    ips = (ip_address(f"10.0.0.{number}"), ip_address(f"fd00::{number}"))
    return Host(f"h{number}", f"02:00:00:00:00:{number:02x}", ips, 1, port, vlan)


def policy_of(*hosts: Host) -> Policy:
    allow = Intent("all", ("any",), ("any",), (Service(),))
    return Policy("vlans", hosts, (), (), (allow,), Defaults(mode=Mode.ENFORCE))


def compiler_of(policy: Policy) -> Compiler:
    bindings = declared_bindings(policy)
    return Compiler(policy, Membership(policy, bindings), bindings, NOW)


SHARED = policy_of(host(1, 1), host(2, 1, 10), host(3, 1, 20), host(4, 2, 30))


def passes(policy: Policy, number: int, tag: int | None) -> bool:
    """Whether a host's packet to the only host on the other port arrives."""
    bindings = declared_bindings(policy)
    sender, receiver = (binding_of(f"10.0.0.{n}", bindings) for n in (number, 4))
    assert sender is not None and receiver is not None
    asked = Connection(ip_address(sender.ip), ip_address("10.0.0.4"), TCP, 80)
    packet = packet_of(asked, sender, receiver, in_port=sender.port)
    if tag is not None:
        packet["vlan_vid"] = 0x1000 | tag
    passage = Interpreter(compiler_of(policy).rules(VIEW)).run(packet, NEW)
    assert not passage.outputs or "vlan_vid" not in passage.fields, "an access port has no tags"
    return passage.outputs == [2]


def test_each_host_of_a_shared_port_has_its_own_tag() -> None:
    tags = (None, 10, 20, 30, 0)
    right = {1: None, 2: 10, 3: 20}
    for number, own in right.items():
        assert [tag for tag in tags if passes(SHARED, number, tag)] == [own]
    lone = policy_of(host(2, 1, 10), host(4, 2, 30))
    assert [tag for tag in tags if passes(lone, 2, tag)] == [None], "an access port"


def test_what_goes_to_a_shared_port_is_tagged_for_its_host() -> None:
    rules = Interpreter(compiler_of(SHARED).rules(VIEW))
    bindings = declared_bindings(SHARED)
    sender = binding_of("10.0.0.4", bindings)
    for number, tag in ((1, None), (2, 0x100A), (3, 0x1014)):
        receiver = binding_of(f"10.0.0.{number}", bindings)
        assert sender is not None and receiver is not None
        asked = Connection(ip_address("10.0.0.4"), ip_address(receiver.ip), TCP, 80)
        passage = rules.run(packet_of(asked, sender, receiver, in_port=2), NEW)
        assert passage.outputs == [1] and passage.fields.get("vlan_vid") == tag
    group = {"eth_dst": 0x01005E0000FB, "eth_type": 0x800, "ip_dst": 0xE00000FB, "ip_proto": 17}
    own = {"in_port": 2, "eth_src": 0x020000000004, "ip_src": int(ip_address("10.0.0.4"))}
    passage = rules.run(group | own | {"udp_src": 5353, "udp_dst": 5353}, NEW)
    assert passage.outputs == [1, 1, 1], "once for each VLAN and once without"


def test_a_port_that_becomes_shared_is_followed() -> None:
    before = policy_of(host(2, 1, 10), host(4, 2, 30))
    compiler = compiler_of(before)
    held = {rule.key: rule for rule in compiler.rules(VIEW)}
    for after in (SHARED, before, policy_of(host(2, 1), host(3, 1, 20), host(4, 2))):
        bindings = declared_bindings(after)
        change = compiler.update(after, Membership(after, bindings), bindings, NOW).on(1)
        for rule in change.removed:
            del held[rule.key]
        held.update((rule.key, rule) for rule in change.added)
        assert held == {rule.key: rule for rule in compiler_of(after).rules(VIEW)}


def test_a_host_with_a_tag_solicits_for_itself_alone() -> None:
    own = {"in_port": 1, "eth_src": 0x020000000002, "vlan_vid": 0x100A, "eth_dst": 0x020000000004}
    asks = {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0}
    ends = {"ipv6_src": int(ip_address("fd00::2")), "nd_target": int(ip_address("fd00::4"))}
    rules = Interpreter(compiler_of(SHARED).rules(VIEW))
    for option, outputs in ((0x020000000002, [2]), (0, [2]), (0x020000000003, [])):
        passage = rules.run(own | asks | ends | {"nd_sll": option}, NEW)
        assert passage.outputs == outputs, option


def test_a_question_has_the_tag_of_whom_it_is_for_whatever_its_target() -> None:
    rules = Interpreter(compiler_of(SHARED).rules(VIEW))
    asks = {"in_port": 2, "eth_src": 0x020000000004, "eth_type": 0x806, "arp_op": 1}
    own = {"arp_sha": 0x020000000004, "arp_spa": int(ip_address("10.0.0.4"))}
    for number, tag in ((1, 0), (2, 0x100A), (3, 0x1014)):
        for target in (0xFFFFFFFFFFFF, 0x020000000001, 0x020000000002, 0x020000000003):
            asked = {"eth_dst": target, "arp_tpa": int(ip_address(f"10.0.0.{number}"))}
            passage = rules.run(asks | own | asked, NEW)
            assert passage.outputs == [1]
            assert passage.fields.get("vlan_vid", 0) == tag, (number, target)


def test_a_router_on_a_shared_port_is_refused() -> None:
    router = replace(host(2, 1, 10), routes=(ip_network("0.0.0.0/0"),))
    with pytest.raises(CompileError, match="port of its own"):
        compiler_of(policy_of(router, host(3, 1, 20)))


def test_tags_are_read_back_from_text() -> None:
    rules = compiler_of(SHARED).rules(VIEW)
    touched = [
        rule
        for rule in rules
        if any(each.name == "vlan_vid" for each in rule.match)
        or any(isinstance(each, PushVlan | PopVlan) for each in rule.actions)
    ]
    assert touched and [read_rule(ovs_text(rule)) for rule in touched] == touched
    printed = "table=0, priority=410,tcp,dl_vlan=10,in_port=1 actions=pop_vlan,goto_table:1"
    assert {(f.name, f.value) for f in read_rule(printed).match} >= {("vlan_vid", 0x100A)}


TWICE = """
apiVersion: septum/v1
kind: SegmentPolicy
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1, vlan: 10, labels: {role: db}}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.1], switch: 2, port: 1, vlan: 20, labels: {role: guest}}
  c: {mac: "02:00:00:00:00:01", ip: [10.0.0.3], switch: 2, port: 2, vlan: 30, labels: {role: guest}}
  gw: {mac: "02:00:00:00:00:04", ip: [10.0.0.4], switch: 2, port: 1, vlan: 40, routes: [0.0.0.0/0]}
segments:
  db: {members: [{labels: {role: db}}], mode: enforce}
intents:
  - {name: all, from: any, to: any, services: [any]}
defaults: {action: deny, mode: enforce}
"""


@pytest.mark.parametrize("kind", ["stateful", "stateless", "single"])
def test_what_two_vlans_share_is_refused_with_its_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guest would be in the segment of the database, and get its packets."""
    path, switches = tmp_path / "policy.yaml", tmp_path / "switches.yaml"
    path.write_text(TWICE)
    switches.write_text(f"default: {{kind: {kind}}}\n")
    assert run(["policy", "check", str(path), "--switches", str(switches)]) == 1
    said = capsys.readouterr().out
    for line, what in ((6, "10.0.0.1 of 'b'"), (7, "02:00:00:00:00:01 of 'c'")):
        assert f"{path}:{line}:3: error" in said and f"{what} is also that of 'a'" in said
    assert (f"{path}:8:3: error" in said) == (kind == "stateful"), "elsewhere tags are ignored"
    words = ["policy", "compile", str(path), "--switch", "1", "--target", kind, "--format", "count"]
    assert run(words) != 0
    captured = capsys.readouterr()
    assert f"{path}:6:3" in captured.out + captured.err


def test_an_update_refuses_what_two_vlans_share() -> None:
    other = replace(host(2, 2, 20), ips=host(1, 1).ips)
    compiler = compiler_of(policy_of(host(1, 1, 10)))
    after = policy_of(host(1, 1, 10), other)
    bindings = declared_bindings(after)
    with pytest.raises(CompileError, match="another VLAN"):
        compiler.update(after, Membership(after, bindings), bindings, NOW)

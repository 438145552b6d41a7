"""A counterexample in words, and in Open vSwitch's, so that the switch itself can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote

from policies.model import Policy
from policies.rules.ovs_text import field_text, ovs_text
from policies.rules.rule import Field
from policies.verify.proof import Counterexample
from policies.verify.text_fields import CT_FLAGS

NAMES = {"ip_src": "nw_src", "ip_dst": "nw_dst", "ip_proto": "nw_proto"}
FIRST = {"eth_type": 0, "ip_proto": 1, "icmpv6_type": 2}


def packet_text(packet: Mapping[str, int]) -> str:
    """A packet as ``ofproto/trace`` takes it; what tracking knows of it is not part of it."""
    order = sorted(packet, key=lambda name: (FIRST.get(name, 3), name))
    parts = []
    for name in order:
        if name.startswith("ct_") or name.startswith("nd_") and not packet[name]:
            continue
        parts.append(field_text(Field(name, packet[name])).replace(name, NAMES.get(name, name), 1))
    return ",".join(parts)


def state_text(state: int) -> str:
    """Connection state by its flags' names, as ``--ct-next`` takes it."""
    return ",".join(name for name, bit in CT_FLAGS.items() if state & bit)


def tracking_options(state: str) -> list[str]:
    """What connection tracking says of a packet, for ``ofproto/trace``: its state, and of one that
    begins a connection that this was remembered, which a trace does not do by itself."""
    if not state:
        return []
    told = ["--ct-next", state]
    return [*told, "--ct-next", "trk,est"] if "new" in state.split(",") else told


def trace_command(example: Counterexample) -> str:
    """The command that shows what the switch does with a counterexample."""
    command = f"ovs-appctl ofproto/trace BRIDGE '{packet_text(example.packet)}'"
    state = state_text(example.ct_state)
    return " ".join((command, *map(quote, tracking_options(state))))


def example_lines(example: Counterexample, policy: Policy) -> list[str]:
    """A counterexample, for a person."""
    lines = [f"switch {example.switch}: {difference}" for difference in example.differences]
    lines.append(f"  packet:     {packet_text(example.packet)}")
    lines.append(f"  in port:    {example.in_port}, direction {example.direction}")
    asked = example.connection
    if asked is not None:
        lines.append(
            f"  connection: {asked.src} to {asked.dst}, protocol {asked.proto}, port {asked.port}"
        )
        source = next((i.source for i in policy.intents if i.name == example.intent), None)
        name = f"{example.intent} ({source})" if source is not None else "none, the default decides"
        lines.append(f"  intent:     {name}")
    if example.rule is not None:
        lines.append(f"  rule:       {ovs_text(example.rule)}")
    lines.append(f"  check:      {trace_command(example)}")
    return lines

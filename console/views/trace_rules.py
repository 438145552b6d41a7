"""The rules behind a verdict: a packet sent, in software, through the edge switches' rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from policies.compiler import CompileError, SwitchView, compile_switch, declared_bindings
from policies.compiler.probe_packets import ESTABLISHED_REPLY, NEW, binding_of, packet_of
from policies.feed_block import FeedBlock
from policies.model import UDP, Connection, Policy, Restriction
from policies.rules import layout
from policies.rules.layout import Category, category_of, number_of
from policies.rules.ovs_text import json_rule, ovs_text
from policies.rules.rule import Rule
from policies.rules.simulator import Interpreter
from policies.semantics.membership import Membership
from topology.records import Binding

# A host that the policy does not place may sit behind a router: any unicast MAC stands for it.
_ELSEWHERE = "02:00:00:00:00:00"
_DECIDING = frozenset(
    {Category.IDENTITY, Category.INTENT, Category.DEFAULT, Category.DECISION, Category.FEED}
)


@dataclass(frozen=True, slots=True)
class RuleMet:
    """A rule that the packet matched on a switch, in the order of its way."""

    switch: int
    rule: Rule

    @property
    def decides(self) -> bool:
        """Whether it follows from the policy, rather than being the same under every policy."""
        cookie = self.rule.cookie
        lookup = category_of(cookie) == Category.FEED and not number_of(cookie)
        return category_of(cookie) in _DECIDING and not lookup

    def data(self) -> dict[str, Any]:
        return {"switch": self.switch, "decides": self.decides, **json_rule(self.rule)}

    def __str__(self) -> str:
        return f"switch {self.switch}: {ovs_text(self.rule)}"


class RuleTrace:
    """Compiles each requested switch once, with ``now``'s decisions and feeds on it."""

    def __init__(
        self,
        policy: Policy,
        now: float,
        bindings: Sequence[Binding] | None = None,
        restrictions: Sequence[Restriction] = (),
        feeds: Sequence[FeedBlock] = (),
    ) -> None:
        self._policy, self._now = policy, now
        self._bindings = declared_bindings(policy) if bindings is None else tuple(bindings)
        self._restrictions, self._feeds = restrictions, feeds
        self._membership = Membership(policy, self._bindings)
        self._switches: dict[int, tuple[Interpreter, int]] = {}

    def rules_met(self, connection: Connection, *, reply: bool = False) -> tuple[RuleMet, ...]:
        """What a connection's first packet, or the answer to it, meets on the switches that its
        ends are declared on; nothing where neither end is on a declared port, or the policy
        does not fit the tables."""
        try:
            return tuple(self._rules_met(connection, reply))
        except CompileError:
            return ()

    def _rules_met(self, connection: Connection, reply: bool) -> Iterator[RuleMet]:
        hosts = self._policy.hosts
        ends = [
            binding_of(str(end), self._bindings, hosts) for end in (connection.src, connection.dst)
        ]
        sender, receiver = (end or Binding(_ELSEWHERE, "", 0, 0) for end in ends)
        start, goal = (receiver, sender) if reply else (sender, receiver)
        if start.switch and replace(start, ip="") == replace(goal, ip=""):
            return  # both behind one router: no switch sees it
        for switch in dict.fromkeys(end.switch for end in (start, goal) if end.switch):
            interpreter, trunk = self._switch(switch)
            in_port = start.port if start.switch == switch else trunk
            packet = packet_of(connection, sender, receiver, in_port=in_port, reply=reply)
            if connection.proto == UDP and connection.port in (67, 547):
                # Shown as it goes on once the controller has passed it.
                packet[layout.CHECKED.field] = 1 << layout.CHECKED.low
            passage = interpreter.run(packet, ESTABLISHED_REPLY if reply else NEW)
            for rule in passage.rules:
                yield RuleMet(switch, rule)

    def _switch(self, switch: int) -> tuple[Interpreter, int]:
        """A switch's rules with one trunk, on a free port, that leads to all the others: which
        way they are cabled changes no verdict."""
        if switch not in self._switches:
            ports = sorted({b.port for b in self._bindings if b.switch == switch})
            trunk = next(n for n in range(1, len(ports) + 2) if n not in ports)
            others = {b.switch for b in self._bindings if b.switch != switch}
            view = SwitchView(
                switch, (*ports, trunk), frozenset({trunk}), dict.fromkeys(others, trunk)
            )
            rules = compile_switch(
                self._policy, self._membership, view, self._bindings, self._now,
                self._restrictions, self._feeds,
            )  # fmt: skip
            self._switches[switch] = Interpreter(rules), trunk
        return self._switches[switch]

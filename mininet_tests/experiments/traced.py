"""Rules on a bridge of their own, and what Open vSwitch's trace says it would do with a packet."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping

from policies.rules import layout
from policies.rules.layout import Category, RuleTable, category_of
from policies.rules.ovs_text import ovs_lines
from policies.rules.rule import CopyToController, Rule, UseMeter
from policies.verify import Counterexample
from policies.verify.probe import packet_text, state_text, tracking_options

COOKIE = re.compile(r"cookie (0x[0-9a-f]+)")
REGISTERS = re.compile(r"\b(reg[01])=(0x[0-9a-f]+)")
OUTPUTS = re.compile(r"^\s+output:(\d+)$", re.MULTILINE)
SEEN = ("output:", "controller(", "CONTROLLER:", "ct(", "learn(", ">> ", "->")
LONGEST = 20  # seconds for one command


def final_flow(trace: str) -> str:
    """A traced packet's fields at its end: those of the last pass that changed any."""
    passes = trace.split("Final flow:")[1:]
    changed = [each for each in passes if not each.lstrip().startswith("unchanged")]
    return changed[-1].partition("Megaflow")[0] if changed else ""


class SwitchError(Exception):
    """Open vSwitch refused a request; the text is its own."""


class Bridge:
    """A bridge without ports or controller; `close` takes it away again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._meters: set[int] = set()
        _said("ovs-vsctl", "--timeout=5", "--", "--if-exists", "del-br", name)
        setting = ("datapath_type=netdev", "protocols=OpenFlow13", "fail_mode=secure")
        _said("ovs-vsctl", "--timeout=5", "add-br", name, "--", "set", "bridge", name, *setting)
        self._ofctl("set-frags", "nx-match")

    def close(self) -> None:
        _said("ovs-vsctl", "--timeout=5", "--if-exists", "del-br", self.name)

    def load(self, rules: Iterable[Rule], counted: bool = False) -> None:
        """Put rules in place of those that are there; ``counted`` as if every connection had its
        learned counting rule already."""
        given = tuple(rules)
        for number in sorted(_meters(given) - self._meters):
            band = f"meter={number},pktps,burst,bands=type=drop,rate=1000,burst_size=1000"
            self._ofctl("add-meter", band)
            self._meters.add(number)
        text = ovs_lines(given)
        if counted:
            mark = f"load:1->NXM_NX_REG0[{layout.COUNTED.low}]"
            text += f"table={int(RuleTable.COUNT)},priority=100,actions={mark}\n"
        self._ofctl("replace-flows", "-", text=text)

    def dump(self) -> str:
        """The rules as the switch prints them."""
        return self._ofctl("--no-stats", "dump-flows")

    def fate(self, packet: Mapping[str, int]) -> tuple[frozenset[int], bool]:
        """Where rules without connection tracking send a packet: ports, and to the controller."""
        text = _said("ovs-appctl", "ofproto/trace", self.name, packet_text(packet))
        ports = frozenset(int(port) for port in OUTPUTS.findall(text))
        return ports - {packet["in_port"]}, "CONTROLLER:" in text or "controller(" in text

    def trace(self, example: Counterexample) -> tuple[str, ...]:
        """All that a trace shows of a packet's fate: where it leaves, what is copied, remembered
        and learned, the registers at the end and the rules that decided."""
        flow, state = packet_text(example.packet), state_text(example.ct_state)
        text = _said("ovs-appctl", "ofproto/trace", self.name, flow, *tracking_options(state))
        lines = [line.strip() for line in text.splitlines()]
        effects = [line for line in lines if line.startswith(SEEN)]
        causes = [
            cause
            for cause in COOKIE.findall(text)
            if category_of(int(cause, 16)) in (Category.INTENT, Category.DEFAULT)
        ]
        registers = [f"{name}={value}" for name, value in REGISTERS.findall(final_flow(text))]
        return (*effects, *causes, *registers)

    def _ofctl(self, command: str, *arguments: str, text: str | None = None) -> str:
        if command.startswith("--"):
            command, *rest = (*arguments, command)
            return _said("ovs-ofctl", "-O", "OpenFlow13", *rest, command, self.name)
        return _said("ovs-ofctl", "-O", "OpenFlow13", command, self.name, *arguments, text=text)


def _meters(rules: Iterable[Rule]) -> set[int]:
    actions = [action for rule in rules for action in rule.actions]
    copies = {action.meter for action in actions if isinstance(action, CopyToController)}
    return copies | {action.number for action in actions if isinstance(action, UseMeter)}


def _said(*command: str, text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise SwitchError(f"{command[0]}: {problem}") from problem
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1]
        raise SwitchError(f"{command[0]}: {complaint}")
    return done.stdout

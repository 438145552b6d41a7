"""The kinds of switches there are rules for, what each loses, and whether the rules fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from policies.compiler.common.intent_rules import intent_numbers
from policies.compiler.common.switch_view import SwitchView
from policies.compiler.compiler import Compiler
from policies.compiler.stateless.multi_table import stateless_rules
from policies.compiler.stateless.single_table import single_rules
from policies.model import Policy, Restriction
from policies.rules import layout
from policies.rules.layout import (
    Category,
    RuleTable,
    SmallTable,
    StatelessTable,
    category_of,
    number_of,
)
from policies.rules.rule import Meter, Rule
from policies.semantics.membership import Membership
from topology.records import Binding

SHOWN = 3  # contributors named for a table that is too small


class SwitchTarget(StrEnum):
    STATEFUL = "stateful"  # Open vSwitch: tracks connections, has registers
    STATELESS = "stateless"  # plain OpenFlow 1.3 with several tables
    SINGLE = "single"  # one small table


TABLES: Mapping[SwitchTarget, type[IntEnum]] = {
    SwitchTarget.STATEFUL: RuleTable,
    SwitchTarget.STATELESS: StatelessTable,
    SwitchTarget.SINGLE: SmallTable,
}

_BOTH = (
    "replies are distinguished from new connections by their ports alone: a responder may send "
    "to any port from 1,024 up of its permitted clients",
    "a client that uses a TCP or SCTP source port below 1,024 gets no answer",
    "ICMP errors pass only where an intent allows their type or everything",
    "IP fragments after the first are dropped: the switch must be set to drop them",
    "VLAN tags are ignored: they do not distinguish hosts that share a port",
    "multicast and broadcast are not forwarded, including DHCP and router advertisements",
    "what DHCP clients send to a server's own address is not checked by the controller",
    "single connections are not observed: no flow records, and would-deny is not reported",
    "established connections are cut with their intent; `established: keep` has no effect",
    "of machine decisions only `quarantine` is carried out; feeds have no effect",
)
LOSSES: Mapping[SwitchTarget, tuple[str, ...]] = {
    SwitchTarget.STATEFUL: (),
    SwitchTarget.STATELESS: _BOTH,
    SwitchTarget.SINGLE: (
        *_BOTH,
        "addresses without a bound host can neither send nor receive",
        "ARP and ND requests reach every port instead of their owner's alone",
    ),
}


def rules_for(
    target: SwitchTarget,
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    now: float,
    restrictions: Sequence[Restriction] = (),
    *,
    port_masks: bool = True,
) -> tuple[Rule, ...]:
    """All rules of one switch of a kind.

    ``port_masks`` only matters for plain switches: whether they can match ports
    under a mask. Raises CompileError for a policy that such a switch cannot hold.
    """
    if target is SwitchTarget.STATEFUL:
        return Compiler(policy, membership, bindings, now).rules(view, now, restrictions)
    compile_plain = stateless_rules if target is SwitchTarget.STATELESS else single_rules
    return compile_plain(
        policy, membership, view, bindings, now, restrictions, port_masks=port_masks
    )


@dataclass(frozen=True, slots=True)
class Form:
    """How one switch is to be given its rules."""

    target: SwitchTarget = SwitchTarget.STATEFUL
    port_masks: bool = True


class RulesOfAll:
    """The rules of switches of several kinds; those that track connections share a compiler.

    A switch that ``forms`` does not name tracks connections.
    """

    def __init__(
        self,
        forms: Mapping[int, Form],
        policy: Policy,
        membership: Membership,
        bindings: Sequence[Binding],
        now: float,
    ) -> None:
        self._forms, self._now = forms, now
        self._policy, self._membership, self._bindings = policy, membership, bindings
        self._compiler: Compiler | None = None

    def rules(self, view: SwitchView) -> tuple[Rule, ...]:
        """All rules of one switch. Raises CompileError as `rules_for` does."""
        form = self._forms.get(view.switch, Form())
        policy, membership, bindings = self._policy, self._membership, self._bindings
        if form.target is not SwitchTarget.STATEFUL:
            masks = form.port_masks
            return rules_for(
                form.target, policy, membership, view, bindings, self._now, port_masks=masks
            )
        if self._compiler is None:
            self._compiler = Compiler(policy, membership, bindings, self._now)
        return self._compiler.rules(view, self._now)


def stateless_meters() -> tuple[Meter, ...]:
    """What rules of the plain kinds name."""
    return (Meter(layout.STATELESS_METER, layout.REPORT_RATE, layout.REPORT_BURST),)


@dataclass(frozen=True, slots=True)
class Overflow:
    """A table that is too small. ``biggest`` names what needs most of it, with its rules."""

    table: str
    needed: int
    size: int
    biggest: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        most = ", ".join(f"{what} ({count})" for what, count in self.biggest)
        return f"table {self.table} holds {self.size} rules and needs {self.needed}: {most}"


def overflows(
    target: SwitchTarget, policy: Policy, rules: Iterable[Rule], sizes: int | Mapping[int, int]
) -> tuple[Overflow, ...]:
    """The tables that the rules do not fit in; ``sizes`` of each table, or one for all.

    A table without a size is taken as large enough.
    """
    names = intent_numbers(policy)
    tables: dict[int, Counter[str]] = {}
    for rule in rules:
        tables.setdefault(rule.table, Counter())[_contributor(rule, names)] += 1
    found = []
    for table, counts in sorted(tables.items()):
        size = sizes if isinstance(sizes, int) else sizes.get(table)
        if size is not None and counts.total() > size:
            biggest = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:SHOWN]
            name = TABLES[target](table).name.lower()
            found.append(Overflow(name, counts.total(), size, tuple(biggest)))
    return tuple(found)


_CATEGORIES = {
    Category.BASE: "ports and the tables themselves",
    Category.BINDING: "what hosts may send",
    Category.IDENTITY: "addresses' segments",
    Category.DEFAULT: "the default",
    Category.DECISION: "machine decisions",
    Category.FEED: "feeds",
    Category.FORWARD: "the way to hosts",
}


def _contributor(rule: Rule, names: Mapping[int, str]) -> str:
    category = category_of(rule.cookie)
    if category == Category.INTENT:
        name = names.get(number_of(rule.cookie))
        return f"intent {name}" if name is not None else "intents"
    return _CATEGORIES.get(Category(category), "others")

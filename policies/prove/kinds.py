"""Kinds of ports and of targets: what rules and policy treat alike.

A kind is a signature: all rules that name a value, with the value's own port, MAC and addresses
written as such.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policies import layout
from policies.layout import Table
from policies.prove.addresses import CHAIN
from policies.prove.boxes import TIERS
from policies.prove.expect import Expectation
from policies.prove.index import FULL, Group, TableIndex, bits_mask
from policies.prove.packets import ARP, IP, IPV6, LLDP
from policies.prove.places import Places
from policies.regions import SIX
from policies.rules import CopyToController, Load, Output, Rule, RuleAction

ANCHORS = ("eth_dst", "arp_tpa", "nd_target")
MACS = frozenset({"eth_src", "eth_dst", "arp_sha", "nd_sll", "nd_tll"})
FOUR = frozenset({"ip_src", "ip_dst", "arp_spa", "arp_tpa"})
SIXES = frozenset({"ipv6_src", "ipv6_dst", "nd_target"})
LARGE = frozenset({*CHAIN, *TIERS})
# Values that no network has: documentation ranges (RFC 5737, RFC 3849, RFC 7042).
STRANGE_MAC = 0x00005E0053FE
STRANGE_FOUR = 0xC633_64FE
STRANGE_SIX = 0x20010DB8_FFFF_FFFF_FFFF_FFFF_FFFF_FFFE
STRANGE_PORT = 0xFE01
Signature = tuple[object, ...]
# Fields that the packets below take all combinations of, as far as rules name values.
KNOWN = frozenset(
    {
        *("in_port", "eth_src", "eth_dst", "ip_src", "ipv6_src", "vlan_vid"),
        *("arp_sha", "arp_spa", "arp_tpa", "nd_sll", "nd_tll", "nd_target"),
        *("eth_type", "ip_proto", "icmp_type", "icmpv6_type", "arp_op", "ct_state"),
        "tcp_flags",
    }
)
# Address assignment, by source and target port; group addresses stand beside a frame's target.
ASSIGNING = {(68, 67), (67, 68), (546, 547), (547, 546)}
GROUP_ADDRESSES = frozenset({"ip_dst", "ipv6_dst"})
USUAL = {
    "eth_type": (IP, ARP, IPV6, LLDP),
    "ip_proto": (1, 6, 17, 58, 132),
    "arp_op": (1, 2, 3),
    "ct_state": range(64),
    "tcp_flags": (1, 2, 4),
    "icmp_type": range(256),
    "icmpv6_type": range(256),
}


def is_anchored(group: Group) -> bool:
    """Whether a group's rules each name one port, or one target, and nothing else at large."""
    if any(name == "in_port" and mask == FULL for name, mask in group.big):
        return all(mask == FULL for _, mask in group.big)
    return len(group.big) == 1 and group.big[0][0] in ANCHORS and group.big[0][1] == FULL


def is_lent(table: int, group: Group) -> bool:
    """Whether a group's rules say of prefixes, whatever the port, that nobody may borrow them."""
    return (
        table == Table.GUARD
        and not group.mask
        and [name for name, _, _ in group.small] == ["eth_type"]
        and [name for name, _ in group.big] in (["ip_src"], ["ipv6_src"])
    )


@dataclass(slots=True)
class Loose:
    """Rules of the fixed tables that stand for no one port or target.

    ``lent`` are the guard's rules for bound addresses, which `lent_packets` are for.
    """

    rules: list[Rule] = field(default_factory=list)
    lent: list[Rule] = field(default_factory=list)
    values: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    matched: int = 0  # register bits that some rule outside of the large tables matches
    unusual: list[Rule] = field(default_factory=list)  # that look at what only connections have

    def marks(self, name: str, value: int) -> tuple[bool, ...]:
        """Which of the loose conditions on a field a value meets."""
        return tuple(value & mask == want for want, mask in self.values.get(name, ()))


def apart(tables: Mapping[int, TableIndex]) -> bool:
    """Whether no rule of the fixed tables looks at a target and at a protocol at once."""
    owner = bits_mask(layout.OWNER) | bits_mask(layout.OWNER_PORT)
    beside = owner | bits_mask(layout.FROM_EDGE)
    for table, index in tables.items():
        for group in index.groups.values() if table not in LARGE else ():
            names = {name for name, _, _ in group.small} | {name for name, _ in group.big}
            about_target = "eth_dst" in names or group.mask & owner
            if about_target and (
                group.mask & ~beside
                or names & {"ct_state"}
                or "ip_proto" in names
                and not any(name == "icmpv6_type" for name, _, _ in group.small)
                and not _assigning(group)
            ):
                return False
    return True


def _types(group: Group) -> bool:
    """Whether a group looks at other ICMP types than those of neighbour discovery."""
    return any(
        name == "icmp_type" or name == "icmpv6_type" and value not in range(133, 138)
        for name, value, _ in group.small
    )


def _assigning(group: Group) -> set[str]:
    """The fields of a group that only tell address assignment apart."""
    names = [name for name, _ in group.big]
    if not {"udp_src", "udp_dst"} <= set(names):
        return set()
    if any(name.startswith("udp") and mask != FULL for name, mask in group.big):
        return set()
    where = names.index("udp_src"), names.index("udp_dst")
    ports = {tuple(key[at] for at in where) for key in group.rules}
    return {"udp_src", "udp_dst"} if ports <= ASSIGNING else set()


def loose_rules(tables: Mapping[int, TableIndex]) -> Loose:
    found = Loose()
    for table, index in tables.items():
        if table in LARGE:
            continue
        for group in index.groups.values():
            found.matched |= group.mask
            for name, value, _ in group.small:
                if value not in USUAL.get(name, ()):
                    found.values.setdefault(name, []).append((value, FULL))
            names = {name for name, _ in group.big} | {name for name, _, _ in group.small}
            told_apart = KNOWN | {"ct_nw_proto"} if table == Table.CONNECTION else KNOWN
            told_apart = told_apart | _assigning(group)
            if table == Table.LOCALITY and "eth_dst" in names:
                told_apart = told_apart | GROUP_ADDRESSES
            if names - told_apart or table != Table.CONNECTION and _types(group):
                found.unusual += group.rules.values()
            if is_lent(table, group):
                found.lent += group.rules.values()
                for more in group.others.values():
                    found.lent += more
                continue
            if is_anchored(group):
                continue
            found.rules += group.rules.values()
            for more in group.others.values():
                found.rules += more
            for position, (name, mask) in enumerate(group.big):
                known = found.values.setdefault(name, [])
                known += [(key[position], mask) for key in group.rules]
    return found


class Alike:
    """Small numbers for equal things, the same for as long as this lives."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._actions: dict[int, tuple[int, bool, tuple[RuleAction, ...]]] = {}

    def number(self, thing: object) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))

    def actions(self, actions: tuple[RuleAction, ...]) -> tuple[int, bool]:
        """The number of some actions, and whether they copy to the controller."""
        known = self._actions.get(id(actions))
        if known is None:
            copies = any(type(action) is CopyToController for action in actions)
            # The actions are kept, so that no others get their id.
            known = self._actions[id(actions)] = (self.number(actions), copies, actions)
        return known[0], known[1]


class Ports:
    """The kinds of one switch's ports."""

    def __init__(
        self,
        tables: Mapping[int, TableIndex],
        expectation: Expectation,
        loose: Loose,
        alike: Alike,
    ) -> None:
        self._groups = [
            (table, shape, group)
            for table, index in tables.items()
            if table not in LARGE
            for shape, group in index.groups.items()
            if is_anchored(group) and any(name == "in_port" for name, _ in group.big)
        ]
        self._view = expectation.view
        self._places, self._loose = expectation.places, loose
        self._alike = alike
        self.borrowed: dict[int, dict[str, set[int]]] = {}

    def signatures(self, only: Collection[int] | None = None) -> dict[int, Signature]:
        """The kind of every port that the switch has or a rule names, or only of some.

        ``borrowed`` afterwards holds the values in each port's rules that are not its own.
        """
        found: dict[int, list[object]] = {
            port: []
            for port in (*self._view.ports, *self._view.trunks)
            if only is None or port in only
        }
        symbols = {port: self._symbols(port) for port in found}
        for table, shape, group in self._groups:
            number = self._alike.number((table, shape))
            names = [name for name, _ in group.big]
            at = names.index("in_port")
            others = [
                (index, name in MACS, SIX if name in SIXES else 0)
                for index, name in enumerate(names)
                if index != at
            ]
            for key, rule in group.rules.items():
                port = key[at]
                if only is not None and port not in only:
                    continue
                known = symbols.get(port)
                if known is None:
                    known = symbols[port] = self._symbols(port)
                    found[port] = []
                macs, numbers = known
                said: list[object] = [number, rule.priority, self._actions(rule.actions, port)]
                for index, is_mac, six in others:
                    value = key[index]
                    symbol = (macs if is_mac else numbers).get(value | six, value)
                    if symbol is value and value:
                        borrowed = self.borrowed.setdefault(port, {})
                        borrowed.setdefault(names[index], set()).add(value)
                    said.append(symbol)
                if group.mask:
                    said.append(key[-1])
                found[port].append(tuple(said))
        return {port: (self._role(port), frozenset(rules)) for port, rules in found.items()}

    def _actions(self, actions: tuple[RuleAction, ...], port: int) -> object:
        number, copies = self._alike.actions(actions)
        if not copies:
            return number
        return tuple(
            ("own", action.max_len)
            if isinstance(action, CopyToController) and action.meter == port
            else action
            for action in actions
        )

    def _symbols(self, port: int) -> tuple[dict[int, object], dict[int, object]]:
        """The port's own MACs and addresses, by their position."""
        macs: dict[int, object] = {}
        numbers: dict[int, object] = {}
        own = self._places.held.get((self._view.switch, port), {})
        for mac in sorted(own):
            macs[mac] = ("mac", len(macs))
            for number in sorted(own[mac]):
                numbers[number] = ("address", len(numbers))
        return macs, numbers

    def _role(self, port: int) -> object:
        own = self._places.held.get((self._view.switch, port), {})
        sizes = tuple(
            (sum(number < SIX for number in own[mac]), len(own[mac])) for mac in sorted(own)
        )
        marks: object = ()
        if self._loose.values:
            marks = tuple(
                tuple(self._loose.marks("eth_src", mac) + self._loose.marks("eth_dst", mac))
                for mac in sorted(own)
            )
            for name in (*FOUR, *SIXES):
                if name in self._loose.values:
                    numbers = (each & ~SIX for mac in sorted(own) for each in sorted(own[mac]))
                    marks = (marks, tuple(self._loose.marks(name, each) for each in numbers))
        view = self._view
        return (
            port in view.trunks,
            port in view.ports,
            sizes,
            marks,
            self._loose.marks("in_port", port),
        )


class Targets:
    """The kinds of targets: MACs, and addresses that are asked for.

    The rules that name them are usually the same on every switch; then this is shared.
    """

    def __init__(self, tables: Mapping[int, TableIndex], places: Places, loose: Loose) -> None:
        self._places, self._loose = places, loose
        self.kinds: dict[str, dict[Signature, list[int]]] = {}
        self._said: dict[tuple[int, tuple[int, int] | None], object] = {}
        self._tables = tables
        self._kept: list[tuple[RuleAction, ...]] = []
        for name in ANCHORS:
            known: Iterable[int] = places.macs if name == "eth_dst" else _addresses(places, name)
            kinds: dict[Signature, list[int]] = {}
            self.kinds[name] = kinds
            for value, signature in self.signatures(name, known, True).items():
                kinds.setdefault(signature, []).append(value)

    def signatures(
        self, name: str, values: Iterable[int], others: bool = False
    ) -> dict[int, Signature]:
        """The kinds of some values of a field; with ``others`` also of all that rules name."""
        rules: dict[int, list[object]] = {value: [] for value in values}
        owners = self._places.macs if name == "eth_dst" else self._places.numbers
        six = SIX if name in SIXES else 0
        for table, index in self._tables.items():
            if table in LARGE:
                continue
            for shape, group in index.groups.items():
                if not (is_anchored(group) and group.big[0][0] == name):
                    continue
                where = (table, shape)
                if others or group.mask:
                    named: Iterable[tuple[tuple[int, ...], Rule]] = group.rules.items()
                else:
                    keys = [(value,) for value in rules if (value,) in group.rules]
                    named = [(key, group.rules[key]) for key in keys]
                for key, rule in named:
                    if others or key[0] in rules:
                        said = self._actions(rule.actions, owners.get(key[0] | six))
                        said_here = (where, key[1:], rule.priority, said)
                        rules.setdefault(key[0], []).append(said_here)
        found: dict[int, Signature] = {}
        for value, said in rules.items():
            place = owners.get(value | six)
            marks = self._loose.marks(name, value)
            found[value] = (None if place is None else place[0], marks, frozenset(said))
        return found

    def _actions(self, actions: tuple[RuleAction, ...], place: tuple[int, int] | None) -> object:
        said = self._said.get((id(actions), place))
        if said is None:
            said = tuple(self._action(action, place) for action in actions)
            self._said[id(actions), place] = said
            self._kept.append(actions)
        return said

    def _action(self, action: RuleAction, place: tuple[int, int] | None) -> object:
        if place is None:
            return action
        if isinstance(action, Load) and action.value == place[1]:
            if action.target == layout.OWNER_PORT:
                if not bits_mask(action.target) & self._loose.matched:
                    return "port"
        if isinstance(action, Output) and action.port == place[1]:
            return "out of the port"
        return action

    def marks(self, name: str, value: int) -> tuple[bool, ...]:
        """Which of the loose conditions on a field a value meets."""
        return self._loose.marks(name, value)

    def samples(self, name: str) -> list[int]:
        """Two values of every kind."""
        return [
            value
            for values in self.kinds[name].values()
            for value in dict.fromkeys((values[0], values[-1]))
        ]


def _addresses(places: Places, name: str) -> Iterator[int]:
    for number in places.numbers:
        if bool(number & SIX) == (name in SIXES):
            yield number & ~SIX

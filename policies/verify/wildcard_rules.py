"""Rules of the fixed tables that stand for no one port or target, and what they look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.rules import layout
from policies.rules.layout import RuleTable
from policies.rules.rule import Rule
from policies.verify.addresses import CHAIN
from policies.verify.boxes import TIERS
from policies.verify.index import FULL, MaskGroup, TableIndex, bits_mask
from policies.verify.packets import ARP, IP, IPV6, LLDP

ANCHORS = ("eth_dst", "arp_tpa", "nd_target")
LARGE = frozenset({*CHAIN, *TIERS})
# Values that no network has: documentation ranges (RFC 5737, RFC 3849, RFC 7042).
STRANGE_MAC = 0x00005E0053FE
STRANGE_FOUR = 0xC633_64FE
STRANGE_SIX = 0x20010DB8_FFFF_FFFF_FFFF_FFFF_FFFF_FFFE
STRANGE_PORT = 0xFE01
# Fields that the packets below take all combinations of, as far as rules name values.
KNOWN = frozenset(
    {
        *("in_port", "eth_src", "eth_dst", "ip_src", "ipv6_src", "vlan_vid"),
        *("arp_sha", "arp_spa", "arp_tpa", "nd_sll", "nd_tll", "nd_target"),
        *("eth_type", "ip_proto", "icmp_type", "icmpv6_type", "arp_op", "ct_state"),
        "tcp_flags",
    }
)
# What single tables may look at besides. `tuples` has every protocol that a rule names here, and
# fragments, whose ports may be hidden.
BESIDES: Mapping[int, frozenset[str]] = {
    RuleTable.CONNECTION: frozenset(
        {
            *("ct_nw_proto", "ct_mark", "ip_frag"),
            *("tcp_src", "udp_src", "tcp_dst", "udp_dst", "sctp_dst"),
        }
    ),
    RuleTable.COMMIT: frozenset({"ip_frag", "tcp_dst", "udp_dst", "ct_label"}),
    RuleTable.FORWARD: frozenset({"ct_label"}),
}
# Address assignment, by source and target port; group addresses stand beside a frame's target.
ASSIGNING = {(68, 67), (67, 68), (546, 547), (547, 546)}
SERVERS = {67, 547}  # whatever port they are asked from
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


def is_anchored(group: MaskGroup) -> bool:
    """Whether a group's rules each name one port, or one target, and nothing else at large."""
    if any(name == "in_port" and mask == FULL for name, mask in group.big):
        return all(mask == FULL for _, mask in group.big)
    return target_of(group) is not None


def target_of(group: MaskGroup) -> str | None:
    """The field by which a group's rules each name one target, and nothing else at large."""
    if len(group.big) == 1 and group.big[0][0] in ANCHORS and group.big[0][1] == FULL:
        return group.big[0][0]
    return None


def is_lent(table: int, group: MaskGroup) -> bool:
    """Whether a group's rules say of prefixes, whatever the port, that nobody may borrow them."""
    return (
        table == RuleTable.GUARD
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
    beside = owner | bits_mask(layout.FROM_EDGE) | bits_mask(layout.VLAN)
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


def _types(group: MaskGroup) -> bool:
    """Whether a group looks at other ICMP types than those of neighbour discovery."""
    return any(
        name == "icmp_type" or name == "icmpv6_type" and value not in range(133, 138)
        for name, value, _ in group.small
    )


def _assigning(group: MaskGroup) -> set[str]:
    """The fields of a group that only tell address assignment apart."""
    names = [name for name, _ in group.big]
    if any(name.startswith("udp") and mask != FULL for name, mask in group.big):
        return set()
    if "udp_src" not in names and "udp_dst" in names:
        asked = {key[names.index("udp_dst")] for key in group.rules}
        return {"udp_dst"} if asked <= SERVERS else set()
    if not {"udp_src", "udp_dst"} <= set(names):
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
            told_apart = KNOWN | BESIDES.get(table, frozenset())
            told_apart = told_apart | _assigning(group)
            if table == RuleTable.LOCALITY and "eth_dst" in names:
                told_apart = told_apart | GROUP_ADDRESSES
            if names - told_apart or table != RuleTable.CONNECTION and _types(group):
                found.unusual += group.rules.values()
            if is_lent(table, group):
                found.lent += group.every()
                continue
            if is_anchored(group):
                continue
            found.rules += group.every()
            for position, (name, mask) in enumerate(group.big):
                known = found.values.setdefault(name, [])
                known += [(key[position], mask) for key in group.rules]
    found.values = {name: list(dict.fromkeys(known)) for name, known in found.values.items()}
    return found

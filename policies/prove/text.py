"""Rules read back: ``ovs-ofctl dump-flows`` text, or what ``policy compile`` prints.

Open vSwitch does not print a rule as it was given: fields have other names
(``dl_src``, ``nw_dst``), a word stands for a protocol (``tcp6``), a whole field
loses its range. `read_rules` undoes that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from policies.layout import Category, Table, category_of
from policies.render import FRAGMENTS, IPV4, IPV6, MACS, NXM, RESERVED
from policies.rules import (
    REMEMBERED,
    Bits,
    Commit,
    CopyToController,
    Field,
    Goto,
    Learn,
    LearnConstant,
    LearnMatch,
    Load,
    Move,
    Output,
    OutputRegister,
    PopVlan,
    PushVlan,
    Resubmit,
    Rule,
    RuleAction,
    ToController,
    Track,
    UseMeter,
    WriteMetadata,
    match,
)


class RuleTextError(Exception):
    """A line that is not a rule this program knows; the text names it."""


_IP, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
WORDS: dict[str, tuple[tuple[str, int], ...]] = {
    "ip": (("eth_type", _IP),),
    "ipv6": (("eth_type", _IPV6),),
    "arp": (("eth_type", _ARP),),
    "icmp": (("eth_type", _IP), ("ip_proto", 1)),
    "icmp6": (("eth_type", _IPV6), ("ip_proto", 58)),
    **{
        name + suffix: (("eth_type", family), ("ip_proto", number))
        for name, number in (("tcp", 6), ("udp", 17), ("sctp", 132))
        for suffix, family in (("", _IP), ("6", _IPV6))
    },
}
NAMES = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "dl_type": "eth_type",
    "nw_proto": "ip_proto",
    "nw_src": "ip_src",
    "nw_dst": "ip_dst",
    "nw_frag": "ip_frag",
    "dl_vlan": "vlan_vid",
    "vlan_tci": "vlan_vid",
    "arp_tha": "arp_tha",
}
WIDTHS = {
    "eth_type": 16,
    "ip_proto": 8,
    "icmp_type": 8,
    "icmp_code": 8,
    "icmpv6_type": 8,
    "icmpv6_code": 8,
    "ct_nw_proto": 8,
    "ip_frag": 8,
    "in_port": 32,
    "metadata": 64,
    "ct_state": 32,
    "ct_mark": 32,
    "ct_label": 128,
    "ct_nw_src": 32,
    "ct_nw_dst": 32,
    "ct_ipv6_src": 128,
    "ct_ipv6_dst": 128,
}
_RESERVED = {name: number for number, name in RESERVED.items()}
TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32}
CT_FLAGS = {"new": 1, "est": 2, "rel": 4, "rpl": 8, "inv": 16, "trk": 32, "snat": 64, "dnat": 128}
_FIELDS = {oxm: name for name, oxm in NXM.items()}
_BOOKKEEPING = ("duration", "n_packets", "n_bytes", "idle_age", "hard_age")
_CAUSE, _TABLE = re.compile(r"\bcookie=(0x[0-9a-f]+)"), re.compile(r"\btable=(\d+)")
_BITS = re.compile(r"([A-Za-z0-9_]+)\[(?:(\d+)(?:\.\.(\d+))?)?\]")


def read_rules(lines: Iterable[str]) -> Iterator[Rule]:
    """The rules in some text; what the switch learned itself and other lines are left out.

    Raises RuleTextError for a rule that uses something Septum never writes.
    """
    for line in lines:
        text = line.strip()
        if "actions=" in text and not _is_learned(text):
            yield read_rule(text)


def _is_learned(text: str) -> bool:
    """Whether the switch made the rule itself, with actions of its own."""
    cause, table = _CAUSE.search(text), _TABLE.search(text)
    return (
        cause is not None
        and table is not None
        and category_of(int(cause[1], 16)) == Category.COUNT
        and int(table[1]) == Table.COUNT
    )


def read_rule(text: str) -> Rule:
    """One rule. Raises RuleTextError."""
    head, _, tail = text.partition("actions=")
    cookie = table = hard_timeout = idle_timeout = 0
    priority = 32768
    fields: list[tuple[str, str]] = []
    words: dict[str, int] = {}
    try:
        for part in split_top(head.replace(" ", ",")):
            name, equals, value = part.partition("=")
            if name == "cookie":
                cookie = int(value.partition("/")[0], 0)
            elif name == "table":
                table = int(value)
            elif name == "priority":
                priority = int(value)
            elif name == "hard_timeout":
                hard_timeout = int(value)
            elif name == "idle_timeout":
                idle_timeout = int(value)
            elif name in _BOOKKEEPING or name in ("send_flow_rem", "importance", "reset_counts"):
                continue
            elif not equals:
                words |= dict(WORDS[name])
            else:
                fields.append((name, value))
        matched = list(_matched(words, fields))
        actions = tuple(_action(part) for part in split_top(tail.strip()) if part != "drop")
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise RuleTextError(f"cannot read this rule: {text.strip()} ({error})") from error
    return Rule(table, priority, match(*matched), actions, cookie, hard_timeout, idle_timeout)


def split_top(text: str) -> Iterator[str]:
    """Parts between commas that stand in no parentheses."""
    depth = start = 0
    for index, letter in enumerate(text):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and not depth:
            if part := text[start:index].strip():
                yield part
            start = index + 1
    if part := text[start:].strip():
        yield part


def _matched(words: dict[str, int], fields: list[tuple[str, str]]) -> Iterator[Field]:
    values = dict(words)
    given = [(NAMES.get(name, name), value) for name, value in fields]
    for name, value in given:
        if name in ("eth_type", "ip_proto"):
            values[name] = int(value, 0)
    for name, number in values.items():
        yield Field(name, number)
    for name, value in given:
        if name not in ("eth_type", "ip_proto"):
            yield from _field(_in_full(name, values), value)


def _in_full(name: str, values: dict[str, int]) -> str:
    """Names that mean different fields for different protocols."""
    if name in ("icmp_type", "icmp_code") and values.get("eth_type") == _IPV6:
        return name.replace("icmp", "icmpv6")
    if name in ("tp_src", "tp_dst"):
        proto = {6: "tcp", 17: "udp", 132: "sctp"}[values["ip_proto"]]
        return name.replace("tp", proto)
    return name


def width_of(name: str) -> int:
    """How many bits a field has."""
    if name in MACS or name.startswith("eth_"):
        return WIDTHS.get(name, 48)
    if name in IPV4 or name.startswith("reg"):
        return 32
    if name in IPV6 or name.startswith("xxreg"):
        return 128
    return WIDTHS.get(name, 16)


def _field(name: str, text: str) -> Iterator[Field]:
    if name == "ct_state":
        yield _ct_state(text)
        return
    if name == "ip_frag":
        bits, mask_bits = FRAGMENTS[text]
        yield Field(name, bits, mask_bits)
        return
    if name == "tcp_flags" and text[0] in "+-":
        yield _signed(name, text, TCP_FLAGS)
        return
    value, slash, mask = text.partition("/")
    if name == "vlan_vid" and not slash:
        value = str(int(value, 0) | 0x1000)  # printed without the bit that says there is a tag
    number, full = _number(name, value), (1 << width_of(name)) - 1
    if name.startswith("xxreg"):
        yield from _wide(name, number, _number(name, mask) if slash else full)
    elif not slash:
        yield Field(name, number)
    else:
        bits = _mask(name, mask)
        if bits:
            yield Field(name, number & bits, None if bits == full else bits)


def _wide(name: str, value: int, mask: int) -> Iterator[Field]:
    first = 4 * int(name[5:])
    for index in range(4):
        shift = 32 * (3 - index)
        if part := mask >> shift & 0xFFFF_FFFF:
            word = value >> shift & 0xFFFF_FFFF
            yield Field(f"reg{first + index}", word, None if part == 0xFFFF_FFFF else part)


def _signed(name: str, text: str, flags: Mapping[str, int]) -> Field:
    """A field written as flags that are set and not set, like ``+new-est``."""
    value = mask = 0
    for sign, flag in re.findall(r"([+-])(\w+)", text):
        mask |= flags[flag]
        value |= flags[flag] if sign == "+" else 0
    return Field(name, value, mask)


def _ct_state(text: str) -> Field:
    if text[0] in "+-":
        return _signed("ct_state", text, CT_FLAGS)
    if text[0].isdigit():
        value_text, _, mask_text = text.partition("/")
        return Field("ct_state", int(value_text, 0), int(mask_text, 0))
    value = sum(CT_FLAGS[flag] for flag in text.split("|"))
    return Field("ct_state", value, 0xFFFF_FFFF)


def _mask(name: str, text: str) -> int:
    width = width_of(name)
    if (name in IPV4 or name in IPV6) and text.isdigit():
        return ((1 << width) - 1) >> (width - int(text)) << (width - int(text))
    return _number(name, text)


def _number(name: str, text: str) -> int:
    if name in MACS or name in ("eth_src", "eth_dst"):
        return int(text.replace(":", ""), 16)
    if "." in text:
        return int(IPv4Address(text))
    if ":" in text:
        return int(IPv6Address(text))
    return int(text, 0)


def _bits(text: str) -> Bits:
    found = _BITS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no run of bits")
    oxm, first, last = found[1], found[2], found[3]
    name = _FIELDS.get(oxm) or oxm.rpartition("_")[2].lower()
    if oxm.startswith(("NXM_NX_CT_", "OXM_OF_CT_")) and oxm not in _FIELDS:
        name = oxm.partition("_")[2].partition("_")[2].lower()
    low = int(first or 0)
    high = int(last) if last else (low if first else width_of(name) - 1)
    return Bits(name, low, high - low + 1)


def _action(text: str) -> RuleAction:
    word, colon, rest = text.partition(":")
    if text.startswith("CONTROLLER"):
        return ToController(int(rest or "65535"))
    if text.startswith("controller"):
        options = dict(part.split("=") for part in split_top(text[text.index("(") + 1 : -1]))
        return CopyToController(int(options["meter_id"]), int(options.get("max_len", 65535)))
    if text.startswith("push_vlan"):
        return PushVlan()
    if text in ("pop_vlan", "strip_vlan"):
        return PopVlan()
    if text.startswith("resubmit("):
        return Resubmit(int(text[:-1].rpartition(",")[2]))
    if text.startswith("ct("):
        return _ct(text[3:-1])
    if text.startswith("learn("):
        return _learn(list(split_top(text[6:-1])))
    if text.startswith("set_field:"):
        value, _, target = rest.partition("->")
        bits = _whole(target)
        return Load(bits, _number(bits.field, value))
    if not colon and text.isdigit():
        return Output(int(text))
    if word.upper() in _RESERVED:
        return Output(_RESERVED[word.upper()])
    left, _, right = rest.partition("->")
    match word:
        case "load":
            return Load(_bits(right), int(left, 0))
        case "move":
            return Move(_bits(left), _bits(right))
        case "output":
            return Output(int(rest)) if rest.isdigit() else OutputRegister(_bits(rest))
        case "meter":
            return UseMeter(int(rest))
        case "goto_table":
            return Goto(int(rest))
        case "write_metadata":
            value, _, mask = rest.partition("/")
            return WriteMetadata(int(value, 0), int(mask, 0) if mask else (1 << 64) - 1)
    raise ValueError(f"action {text}")


def _whole(name: str) -> Bits:
    return Bits(NAMES.get(name, name), 0, width_of(NAMES.get(name, name)))


def _ct(text: str) -> RuleAction:
    parts = list(split_top(text))
    options = dict(part.split("=", 1) for part in parts if "=" in part and "(" not in part)
    zone = int(options.get("zone", "0"), 0)
    table = int(options["table"])
    if "commit" not in parts:
        return Track(zone, table)
    done = next(part for part in parts if part.startswith("exec("))
    *marking, remembering = (_action(each) for each in split_top(done[5:-1]))
    if remembering != Load(REMEMBERED, 1):
        raise ValueError("a connection is remembered without being told from others")
    match marking:
        case []:
            return Commit(zone, table)
        case [Move(source, Bits("ct_mark", 0, 32))]:
            return Commit(zone, table, source)
    raise ValueError("a connection is marked in another way")


def _learn(parts: list[str]) -> Learn:
    options: dict[str, int] = {}
    matches: list[LearnMatch | LearnConstant] = []
    load: Load | None = None
    known = ("table", "priority", "cookie", "idle_timeout", "limit")
    for part in parts:
        name, equals, value = part.partition("=")
        if part.startswith("load:"):
            left, _, right = part[5:].partition("->")
            load = Load(_bits(right), int(left, 0))
        elif name in known:
            options[name] = int(value, 0)
        elif equals and "[" not in value:
            target = _bits(name) if "[" in name else _whole(name)
            matches.append(LearnConstant(target, int(value, 0)))
        elif "[" in part:
            matches.append(LearnMatch(_bits(name)))
    assert load is not None
    return Learn(
        options["table"],
        options.get("priority", 32768),
        options.get("cookie", 0),
        options.get("idle_timeout", 0),
        options.get("limit", 0),
        tuple(matches),
        load,
    )

"""Actions in Open vSwitch's words, read back."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.rules.fields import FIELDS, width_of
from policies.rules.ovs_text import RESERVED
from policies.rules.rule import (
    REMEMBERED,
    Bits,
    Commit,
    CopyToController,
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
    RuleAction,
    ToController,
    Track,
    UseMeter,
    WriteMetadata,
)
from policies.verify.text_fields import NAMES, read_number

_RESERVED = {name: number for number, name in RESERVED.items()}
_FIELDS = {field.spelling: name for name, field in FIELDS.items()}
_BITS = re.compile(r"([A-Za-z0-9_]+)\[(?:(\d+)(?:\.\.(\d+))?)?\]")


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


def _bits(text: str) -> Bits:
    found = _BITS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no run of bits")
    oxm, first, last = found[1], found[2], found[3]
    name = _FIELDS.get(oxm) or oxm.rpartition("_")[2].lower()
    low = int(first or 0)
    high = int(last) if last else (low if first else width_of(name) - 1)
    return Bits(name, low, high - low + 1)


def read_action(text: str) -> RuleAction:
    """One action. Raises ValueError, KeyError or IndexError for what no rule of ours does."""
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
        return Load(bits, read_number(bits.field, value))
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
    helper = options.get("alg")
    *marking, remembering = (read_action(each) for each in split_top(done[5:-1]))
    if remembering != Load(REMEMBERED, 1):
        raise ValueError("a connection is remembered without being told from others")
    match marking:
        case []:
            return Commit(zone, table, helper=helper)
        case [Move(source, Bits("ct_mark", 0, 32))]:
            return Commit(zone, table, source, helper)
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

"""Rules with one fault in them: what a prover has to notice.

For tests and measurements. A fault may leave the meaning as it was (a rule that
another shadows may go); who uses this has to find out by other means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

from policies.rules import layout
from policies.rules.fields import width_of
from policies.rules.layout import Category, DecidedBits, RuleTable, StatelessTable, category_of
from policies.rules.rule import (
    Bits,
    Commit,
    CopyToController,
    Field,
    Goto,
    Load,
    Move,
    Output,
    OutputRegister,
    Resubmit,
    Rule,
    RuleAction,
    Track,
    UseMeter,
    WriteMetadata,
    match,
)

Mutation = tuple[str, tuple[Rule, ...], tuple[Rule, Rule | None]]
Changed = tuple[Rule | None] | None
Fault = Callable[[Rule, Random], Changed]
# Of some fields only the bits that rules tell apart are worth a fault.
TOLD_APART = {"in_port": 16, "ct_state": 6, "arp_op": 2}


def mutations(
    rules: Sequence[Rule], random: Random, count: int, kinds: Mapping[str, Fault] | None = None
) -> Iterator[Mutation]:
    """``count`` rule sets with one fault each: kind, rules, and the rule before and after.

    Tables and kinds of faults take turns, so that small tables have their share.
    """
    tables: dict[int, list[Rule]] = {}
    for rule in rules:
        tables.setdefault(rule.table, []).append(rule)
    made = 0
    faults = KINDS if kinds is None else kinds
    seen: set[tuple[Rule, Rule | None]] = set()
    while made < count:
        table = random.choice(sorted(tables))
        rule = random.choice(tables[table])
        kind = random.choice(sorted(faults))
        changed = faults[kind](rule, random)
        if changed is None or (rule, changed[0]) in seen:
            continue
        (after,) = changed
        if (
            after is not None
            and after != rule
            and after.key in {other.key for other in tables[table] if other is not rule}
        ):
            continue
        if after == rule:
            continue
        seen.add((rule, after))
        made += 1
        rest = [other for other in rules if other is not rule]
        yield kind, (*rest, *(() if after is None else (after,))), (rule, after)


def _delete(rule: Rule, random: Random) -> Changed:
    return (None,)


def _priority(rule: Rule, random: Random) -> Changed:
    moved = rule.priority + random.choice((-9_000, -150, -15, 15, 150, 9_000))
    return (replace(rule, priority=max(0, min(65_535, moved))),)


def _cookie(rule: Rule, random: Random) -> Changed:
    if rule.table not in (RuleTable.EMERGENCY, RuleTable.POLICY):
        return None
    return (replace(rule, cookie=rule.cookie ^ 1 << random.randrange(32)),)


def _drop(rule: Rule, random: Random) -> Changed:
    return (replace(rule, actions=()),) if rule.actions else None


def _field(change: Callable[[Field, Random], Field | None]) -> Callable[[Rule, Random], Changed]:
    def changed(rule: Rule, random: Random) -> Changed:
        if not rule.match:
            return None
        old = random.choice(rule.match)
        new = change(old, random)
        if new == old or _is_needed(old, rule):
            return None
        rest = [each for each in rule.match if each is not old]
        return (replace(rule, match=match(*rest, *(() if new is None else (new,)))),)

    return changed


def _is_needed(field: Field, rule: Rule) -> bool:
    """Whether a switch would refuse the rule without this field, for others depend on it."""
    if field.name not in ("eth_type", "ip_proto", "icmpv6_type"):
        return False
    plain = all(each.name.startswith("reg") or each is field for each in rule.match)
    return not plain or not all(isinstance(each, Load | Goto) for each in rule.actions)


def _value(old: Field, random: Random) -> Field:
    bits = [bit for bit in range(_width(old)) if (old.mask or -1) >> bit & 1]
    return replace(old, value=old.value ^ 1 << random.choice(bits))


def _wider(old: Field, random: Random) -> Field | None:
    if old.name in ("eth_type", "ip_proto", "arp_op", "in_port") or "icmp" in old.name:
        return old
    full = (1 << _width(old)) - 1
    mask = full if old.mask is None else old.mask
    bit = random.choice([bit for bit in range(_width(old)) if mask >> bit & 1])
    mask &= ~(1 << bit)
    return Field(old.name, old.value & mask, mask) if mask else None


def _width(field: Field) -> int:
    return TOLD_APART.get(field.name) or width_of(field.name)


def _action(rule: Rule, random: Random) -> Changed:
    """One action does something else, or is left out."""
    if not rule.actions:
        return None
    index = random.randrange(len(rule.actions))
    new = _other(rule.actions[index], random)
    if new is None and isinstance(rule.actions[index], Goto):
        return None
    kept = () if new is None else (new,)
    return (replace(rule, actions=(*rule.actions[:index], *kept, *rule.actions[index + 1 :])),)


def _other(action: RuleAction, random: Random) -> RuleAction | None:
    match action:
        case Load(target, value):
            if random.random() < 0.3:
                return Load(_elsewhere(target), value)
            return Load(target, value ^ 1 << random.randrange(min(target.width, 16)))
        case Move(source, target):
            return Move(source, _elsewhere(target))
        case Goto(table):
            later = [each for each in RuleTable if each > table]
            return Goto(random.choice(later)) if later else None
        case Output(port):
            return Output(port + 1)
        case OutputRegister():
            return Output(1)
        case CopyToController(meter):
            return CopyToController(meter + 1)
        case Track(zone, table):
            return Track(zone + 1, table)
        case Commit(mark=Bits() as mark):
            return replace(action, mark=replace(mark, field="reg5"))
        case Resubmit(table):
            return None
    return None


def _elsewhere(target: Bits) -> Bits:
    if target.field.startswith("xxreg"):
        return replace(target, field="xxreg3" if target.field == "xxreg2" else "xxreg2")
    return replace(target, field="reg4" if target.field != "reg4" else "reg3")


def _opposite(rule: Rule, random: Random) -> Changed:
    """Allow becomes deny and the other way round."""
    if rule.table not in (RuleTable.EMERGENCY, RuleTable.POLICY) or not rule.priority:
        return None
    (number,) = [a for a in rule.actions if isinstance(a, Load) and a.target == layout.INTENT]
    allow = (number, Load(layout.OUTCOME, DecidedBits.ALLOW), Goto(RuleTable.OBSERVE))
    deny = (number, Goto(RuleTable.MODE))
    return (replace(rule, actions=deny if Goto(RuleTable.OBSERVE) in rule.actions else allow),)


KINDS: dict[str, Fault] = {
    "delete": _delete,
    "priority": _priority,
    "cookie": _cookie,
    "drop": _drop,
    "value": _field(_value),
    "wider": _field(_wider),
    "without a field": _field(lambda old, random: None),
    "action": _action,
    "opposite": _opposite,
}


def _plain_action(rule: Rule, random: Random) -> Changed:
    """One action of a plain switch's rule does something else, or is left out."""
    if not rule.actions:
        return None
    index = random.randrange(len(rule.actions))
    new: RuleAction | None = None
    match rule.actions[index]:
        case Goto(table):
            later = [each for each in StatelessTable if each > table]
            if not later:
                return None
            new = Goto(random.choice(later))
        case Output(port):
            new = Output(port + 1)
        case WriteMetadata(value, mask):
            new = WriteMetadata(value ^ 1 << random.randrange(64) & mask, mask)
        case UseMeter():
            return None  # what passes does not depend on it
    kept = () if new is None else (new,)
    return (replace(rule, actions=(*rule.actions[:index], *kept, *rule.actions[index + 1 :])),)


def _plain_cookie(rule: Rule, random: Random) -> Changed:
    if category_of(rule.cookie) not in (Category.INTENT, Category.DEFAULT):
        return None
    return (replace(rule, cookie=rule.cookie ^ 1 << random.randrange(32)),)


SMALL_KINDS: dict[str, Fault] = {
    "delete": _delete,
    "priority": _priority,
    "drop": _drop,
    "value": _field(_value),
    "wider": _field(_wider),
    "without a field": _field(lambda old, random: None),
    "action": _plain_action,
}
STATELESS_KINDS = SMALL_KINDS | {"cookie": _plain_cookie}

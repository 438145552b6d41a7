"""Rules read back: ``ovs-ofctl dump-flows`` text, or what ``policy compile`` prints.

Open vSwitch does not print a rule as it was given: fields have other names
(``dl_src``, ``nw_dst``), a word stands for a protocol (``tcp6``), a whole field
loses its range. `read_rules` undoes that: here the line as a whole, fields in
`text_fields`, actions in `text_actions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from policies.rules.layout import Category, RuleTable, category_of
from policies.rules.rule import Rule, match
from policies.verify.text_actions import read_action, split_top
from policies.verify.text_fields import read_match


class RuleTextError(Exception):
    """A line that is not a rule this program knows; the text names it."""


_BOOKKEEPING = ("duration", "n_packets", "n_bytes", "idle_age", "hard_age")
_CAUSE, _TABLE = re.compile(r"\bcookie=(0x[0-9a-f]+)"), re.compile(r"\btable=(\d+)")


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
        and int(table[1]) == RuleTable.COUNT
    )


def read_rule(text: str) -> Rule:
    """One rule. Raises RuleTextError."""
    head, _, tail = text.partition("actions=")
    cookie = table = hard_timeout = idle_timeout = 0
    priority = 32768
    fields: list[tuple[str, str]] = []
    words: list[str] = []
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
                words.append(name)
            else:
                fields.append((name, value))
        matched = list(read_match(words, fields))
        actions = tuple(read_action(part) for part in split_top(tail.strip()) if part != "drop")
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise RuleTextError(f"cannot read this rule: {text.strip()} ({error})") from error
    return Rule(table, priority, match(*matched), actions, cookie, hard_timeout, idle_timeout)

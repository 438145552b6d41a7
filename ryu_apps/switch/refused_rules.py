"""Rules that one switch refuses: found by its errors and left out, so that the others hold.

A rule is left out only where its absence lets nothing through: no way to a host, nothing that a
host may send. Where absence could open something (an intent, an identity, a feed) a rule that drops
takes its place. A switch that refuses anything else keeps what it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from policies.rules.layout import Category, category_of
from policies.rules.rule import Rule
from ryu_apps.openflow import messages
from ryu_apps.openflow.describe import rule_text
from ryu_apps.openflow.encode import ADD, WireKey, WireRule, flow_mod, wire_key

MOST = 1_000  # rules of one switch: with more, the switch itself is at odds with them
SHOWN = 5
NAMED = 32  # bytes of a flow-mod that an error repeats at least: cookie, table, priority, timeouts
ABSENT = frozenset({Category.BINDING, Category.FORWARD, Category.DECISION})
DROPPING = frozenset({Category.IDENTITY, Category.INTENT, Category.RETAINED, Category.FEED})
BAD_ACTION, BAD_INSTRUCTION, BAD_MATCH, EXPERIMENTER_ERROR = 2, 3, 4, 0xFFFF
_REQUEST_AT = {BAD_ACTION: 12, BAD_INSTRUCTION: 12, BAD_MATCH: 12, EXPERIMENTER_ERROR: 16}
_HEADER, _BUNDLED = 8, 24  # bytes of a message's header, and before a bundled message


@dataclass(slots=True)
class RefusedRules:
    """What the switch of one connection refused, as it was to be written."""

    rules: dict[WireKey, WireRule] = field(default_factory=dict)

    def isolate(self, refused: Sequence[WireRule]) -> bool:
        """Leave rules out from now on; False, and nothing is, where others depend on them."""
        if not refused or len(self.rules) + len(refused) > MOST:
            return False
        if not all(_may_miss(rule) for rule in refused):
            return False
        self.rules.update({rule.key: rule for rule in refused})
        return True

    def without(self, rules: Iterable[WireRule]) -> Iterable[WireRule]:
        """Rules as the switch takes them. One that has changed since it was refused is tried."""
        return self._taken(rules) if self.rules else rules

    def _taken(self, rules: Iterable[WireRule]) -> Iterator[WireRule]:
        for rule in rules:
            refused = self.rules.get(rule.key)
            if refused is None or not refused.same_effect(rule):
                yield rule
            elif category_of(rule.cookie) in DROPPING:
                yield replace(rule, instructions=b"")

    def lacks(self, rule: Rule) -> bool:
        """Whether the switch is without a rule, or with one that drops in its place."""
        return bool(self.rules) and wire_key(rule) in self.rules

    def keep(self, wanted: Iterable[WireKey]) -> None:
        """Forget rules that the switch should not have any more."""
        if self.rules:
            known = set(wanted)
            self.rules = {key: rule for key, rule in self.rules.items() if key in known}

    def texts(self) -> list[str]:
        """A few of them in words."""
        return [rule_text(rule) for rule in list(self.rules.values())[:SHOWN]]


def _may_miss(rule: WireRule) -> bool:
    category = category_of(rule.cookie)
    return category in ABSENT or (category in DROPPING and rule.instructions != b"")


def refused_part(error: bytes) -> bytes:
    """What an error message repeats of a flow-mod that cannot be, without its header; empty for
    other errors, such as a full table, and where it is too little to tell rules apart."""
    at = _REQUEST_AT.get(int.from_bytes(error[8:10], "big"), len(error))
    request = error[at:]
    if request[1:2] == bytes((messages.EXPERIMENTER,)):
        request = request[_BUNDLED:]
    part = request[_HEADER:]
    return part if len(part) >= NAMED else b""


def named_by(parts: Iterable[bytes], rules: Iterable[WireRule]) -> list[WireRule]:
    """The rules that errors name, by `refused_part`. An error that ends early names all rules of
    one cause, table and priority."""
    wanted: dict[bytes, list[bytes]] = defaultdict(list)
    for part in parts:
        wanted[part[:NAMED]].append(part)
    found = []
    for rule in rules if wanted else ():
        body = flow_mod(rule, ADD)
        if any(body.startswith(part) for part in wanted.get(body[:NAMED], ())):
            found.append(rule)
    return found


def told(switch: int, refused: Sequence[WireRule], why: str) -> str:
    """One line about rules that were just left out."""
    names = "; ".join(rule_text(rule) for rule in refused[:SHOWN])
    more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    count = f"{len(refused)} rule{'s' if len(refused) > 1 else ''}"
    return f"switch {switch} refused {count}, left out there: {names}{more}: {why}"

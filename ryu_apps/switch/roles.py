"""One writer per switch: the owner's marker rule, and OpenFlow's roles.

Every switch carries a rule that matches nothing and whose cookie is the owner's
number, which lies in the owner's state directory. A controller that finds
another's mark asks to be SLAVE and stays out. Roles alone would not do: they
end with the connection.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from policies.rules.layout import Category, category_of, cookie, number_of
from policies.rules.rule import Field, Rule, match
from ryu_apps.openflow import messages
from ryu_apps.openflow.encode import WireRule
from ryu_apps.switch.transactions import Transactions

ROLE_REQUEST, ROLE_REPLY = 24, 25
NO_CHANGE, EQUAL, MASTER, SLAVE = 0, 1, 2, 3
ROLE_FAILED, STALE = 11, 0
ROLE_STATUS = 1911  # ONF extension 191 for OpenFlow 1.3
UNSET = 0xFFFF_FFFF_FFFF_FFFF
_ROLE = struct.Struct("!IxxxxQ")
# IEEE's local experimental Ethernet type, to an address that nobody has: no packet matches.
_NOTHING = match(Field("eth_type", 0x88B5), Field("eth_dst", 0x02_5E_97_00_00_01))


def owner_rule(owner: int) -> Rule:
    return Rule(0, 1, _NOTHING, (), cookie(Category.OWNER, owner))


def owner_of(rules: Iterable[WireRule]) -> int | None:
    """Whose mark is among a switch's rules."""
    marks = (number_of(r.cookie) for r in rules if category_of(r.cookie) == Category.OWNER)
    return next(marks, None)


def role_status(buf: bytes) -> int | None:
    """The role that a role status message gives us; None for another message."""
    if len(buf) < 20:
        return None
    vendor, kind, role = struct.unpack_from("!III", buf, 8)
    return int(role) if (vendor, kind) == (messages.ONF, ROLE_STATUS) else None


@dataclass(slots=True)
class ControllerRole:
    """Our role at one switch. ``generation`` is the switch's, as last reported."""

    transactions: Transactions
    generation: int = UNSET
    wanted: int = NO_CHANGE

    def ask(self) -> bytes:
        """Request the generation."""
        return self._request(NO_CHANGE, 0)

    def claim(self) -> bytes:
        """Request to be the only one that writes."""
        self.wanted = MASTER
        return self._request(MASTER, 1 if self.generation == UNSET else self._next)

    def yield_(self) -> bytes:
        """Leave the writing to another."""
        self.wanted = SLAVE
        return self._request(SLAVE, 0 if self.generation == UNSET else self.generation)

    def share(self) -> bytes:
        """Be one of several that may read and write, until one claims the switch."""
        self.wanted = EQUAL
        return self._request(EQUAL, 0)

    def answered(self, buf: bytes) -> bytes:
        """Take the switch's reply in; what to request next, if anything."""
        self.transactions.withdraw(self)
        role, self.generation = _ROLE.unpack_from(buf, 8) if len(buf) >= 24 else (0, UNSET)
        if self.wanted == MASTER and role != MASTER:
            return self.claim()
        return b""

    def refused(self, kind: int, code: int) -> bytes:
        """A generation that is old by now is requested again; a switch may have no roles."""
        self.transactions.withdraw(self)
        return self.ask() if (kind, code) == (ROLE_FAILED, STALE) else b""

    @property
    def _next(self) -> int:
        return self.generation + 1 & UNSET

    def _request(self, role: int, generation: int) -> bytes:
        self.transactions.withdraw(self)  # only the last request counts
        xid = self.transactions.begin(self)
        return messages.message(ROLE_REQUEST, xid, _ROLE.pack(role, generation))

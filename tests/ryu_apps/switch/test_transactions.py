"""Transaction ids of a connection: replies reach the requester that waits, and no other."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ryu_apps.switch.transactions import FIRST, FOREVER, LAST, Transactions

REQUESTERS = ("probe", "reading", "writer", "role")
TIMES = st.floats(0, 100, allow_nan=False)


class RegisterMachine(RuleBasedStateMachine):
    """The register against a plain list of who waits for what, near the end of the ids."""

    issued = Bundle("issued")

    def __init__(self) -> None:
        super().__init__()
        self.register = Transactions(_next=LAST - 2)
        self.waiting: dict[int, tuple[str, float]] = {}
        self.late = 0

    @rule(target=issued, who=st.sampled_from(REQUESTERS), until=st.one_of(st.just(FOREVER), TIMES))
    def begin(self, who: str, until: float) -> int:
        xid = self.register.begin(who, until)
        assert FIRST <= xid <= LAST
        assert xid not in self.waiting, "two requests with one id"
        self.waiting[xid] = (who, until)
        return xid

    @rule(xid=issued)
    def reply(self, xid: int) -> None:
        expected = self.waiting.get(xid)
        assert self.register.route(xid) == (None if expected is None else expected[0])
        self.late += expected is None

    @rule(xid=consumes(issued))
    def last_reply(self, xid: int) -> None:
        self.register.end(xid)
        self.waiting.pop(xid, None)
        assert self.register.route(xid) is None
        self.late += 1

    @rule(xid=st.one_of(st.just(0), st.integers(0, FIRST - 1), st.integers(LAST + 1, 2**32 - 1)))
    def foreign_reply(self, xid: int) -> None:
        assert self.register.route(xid) is None

    @rule(who=st.sampled_from(REQUESTERS))
    def withdraw(self, who: str) -> None:
        self.register.withdraw(who)
        self.waiting = {xid: each for xid, each in self.waiting.items() if each[0] != who}

    @rule(who=st.sampled_from(REQUESTERS), until=TIMES)
    def extend(self, who: str, until: float) -> None:
        self.register.extend(who, until)
        self.waiting = {
            xid: (each[0], until if each[0] == who else each[1])
            for xid, each in self.waiting.items()
        }

    @rule(now=TIMES)
    def expire(self, now: float) -> None:
        over = {xid for xid, (_, until) in self.waiting.items() if now > until}
        expired = self.register.expire(now)
        assert sorted(map(str, expired)) == sorted({self.waiting[xid][0] for xid in over})
        self.waiting = {xid: each for xid, each in self.waiting.items() if xid not in over}

    @invariant()
    def late_replies_are_counted(self) -> None:
        assert self.register.late == self.late


TestRegister = RegisterMachine.TestCase
TestRegister.settings = settings(max_examples=100, stateful_step_count=40)


def test_ids_start_over_at_the_end_and_pass_over_those_in_use() -> None:
    register = Transactions(_next=LAST)
    first = register.begin("slow", FOREVER)
    assert first == LAST
    assert register.begin("next") == FIRST
    register._next = LAST  # once around
    assert register.begin("again") == FIRST + 1
    assert register.route(first) == "slow"


def test_requesters_are_told_apart_by_identity_not_by_value() -> None:
    register = Transactions()
    one, equal = [1], [1]
    xid, other = register.begin(one), register.begin(equal)
    register.withdraw(one)
    assert register.route(xid) is None and register.late == 1
    assert register.route(other) is equal

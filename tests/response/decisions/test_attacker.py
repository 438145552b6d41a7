"""An attacker who spoofs, baits and moves about never gets Septum beyond its envelope."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from policies.model import Adapt, Envelope
from response.decision import MAX_TTL, Decision
from response.decisions.bandit import ActionLearner
from response.decisions.envelope import BLOCKS, share_limit
from response.ipc.messages import Ask, Command, Enforce, HostsChanged, RecordsSeen
from tests.support.street import HOSTS, Street, make_alert
from topology.records import Binding, FlowRecord

DECLARED = [f"10.0.0.{n}" for n in range(1, len(HOSTS) + 1)]
LOOSE = [f"10.0.0.{n}" for n in range(50, 54)]  # addresses that discovered hosts come to hold
STRANGERS = ["00:00:00:00:00:a1", "00:00:00:00:00:a2"]

STEPS = 40


def plays(draw: Random) -> Iterator[tuple[object, ...]]:
    """What an attacker, people and faults do, mixed; half of it are accusations."""
    for _ in range(STEPS):
        match draw.choice(["accuse"] * 6 + ["move", "move", "wait", "ask", "crash", "end"]):
            case "accuse":
                target = draw.choice([*DECLARED, *DECLARED, *LOOSE, "203.0.113.9"])
                score = draw.choice([0.5, 0.992, 0.9993, 0.99999, 0.99999])
                yield "accuse", target, score, draw.randint(0, 2)
            case "move":
                # Two machines that nobody declared, and declared ones that take an address.
                found = draw.sample(LOOSE, draw.randint(0, len(LOOSE)))
                yield "move", [(ip, draw.choice([*STRANGERS, *HOSTS]), 1) for ip in found]
            case "wait":
                yield "wait", draw.choice([1.0, 400.0, 1000.0])
            case "ask":
                words = ["approve", "reject", "release", "hold", "resume", "resume"]
                yield "ask", draw.choice(words)
            case "crash":
                yield ("crash",)
            case _:
                yield "wait", 0.5


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    actions = draw(st.sets(st.sampled_from(["rate_limit", "isolate", "quarantine"])))
    return Envelope(
        actions=("alert", *sorted(actions)),
        max_hosts=draw(st.integers(0, 3)),
        max_share=draw(st.sampled_from([0.01, 0.4, 1.0])),
        ttl=draw(st.sampled_from([300, 900, 10**6])),
    )


class EnvelopeCheck:
    """What must hold after every step, and what the switches would have by now."""

    def __init__(self, street: Street, envelope: Envelope) -> None:
        self.street, self.envelope = street, envelope
        self.on_switches: dict[str, Decision] = {}
        self.owners: dict[str, str] = {}  # of addresses that declared hosts hold beside their own

    def heard(self, commands: list[Command], automatic: bool) -> None:
        held = self.street.analysis.hold is not None
        for command in commands:
            if isinstance(command, Enforce):
                made = command.decision
                assert not (self.is_more(made) and automatic and held), "hold stops new blocks"
                self.on_switches[made.id] = made
            else:
                self.on_switches.pop(command.decision.id, None)

    def home(self, target: str) -> set[str]:
        """A host's own addresses: one that it takes while it is blocked moves no limit."""
        return set(self.street.addresses.get(target, (target,)))

    def is_more(self, made: Decision) -> bool:
        """Whether it blocks anything that was not blocked before."""
        before = self.on_switches.get(made.supersedes or made.id)
        narrower = before is not None and set(made.addresses) <= set(before.addresses)
        return not (narrower and before is not None and before.action == made.action)

    def check(self, now: float) -> None:
        store, members = self.street.store, self.street.segments
        active = store.active_decisions(now)
        assert {d.id for d in active} == {
            d.id for d in self.on_switches.values() if d.expires > now
        }
        for decision in active:
            assert decision.action in self.envelope.actions
            for address in decision.addresses:
                owner = self.owners.get(address, decision.target)
                assert owner == decision.target, "an innocent host took this address"
            assert not members.protected & set(decision.addresses)
            assert decision.expires - now <= MAX_TTL
            if decision.approved_by is None:
                assert decision.expires - now <= self.envelope.ttl
        machine = [d for d in active if d.approved_by is None and d.action in BLOCKS]
        blocked = {d.target for d in machine}
        assert len(blocked) <= self.envelope.max_hosts
        for held in members.members.values():
            here = {d.target for d in machine if held & self.home(d.target)}
            assert len(here) <= share_limit(len(held), self.envelope.max_share)
        every = [a for d in active for a in d.addresses]
        assert len(every) == len(set(every)), "no address is under two decisions"


def play(street: Street, envelope: Envelope, steps: Iterable[tuple[object, ...]]) -> None:
    judged, now = EnvelopeCheck(street, envelope), 1000.0
    for step, number in zip(steps, itertools.count()):
        now += 1.0
        match step:
            case ("accuse", str(address), float(score), int(hops)):
                row = street.detector.rows
                alert = replace(
                    make_alert(address, now, records=(row,), id=f"a{number}"), score=score
                )
                street.detector.alerts[row] = replace(alert, path=alert.path[:hops])
                record = FlowRecord(now, address, "10.0.0.2", "tcp", 4, 22, phase="start")
                judged.heard(street.analysis.step(RecordsSeen((record,)), now), True)
            case ("move", list(held)):
                bound = tuple(
                    Binding(who if ":" in who else f"00:00:00:00:00:0{HOSTS.index(who) + 1}",
                            ip, 1, port, None if ":" in who else who)
                    for ip, who, port in held
                )  # fmt: skip
                judged.owners = {each.ip: each.host for each in bound if each.host}
                street.store.save_bindings(bound)  # as the controller does, which says it again
                judged.heard(street.analysis.step(HostsChanged(bound), now), True)
            case ("wait", float(seconds)):
                now += seconds
                judged.heard(street.analysis.tick(now), True)
            case ("ask", str(what)):
                found = street.store.decisions("active" if what == "release" else "proposed")
                target = found[0].id if found and what not in ("hold", "resume") else ""
                done = street.analysis.ask(Ask(what, target, "ana"), now)
                judged.heard(list(done.commands), False)
            case ("crash",):
                street.store.close()
                street.reopen(now)
                judged.heard(street.analysis.start(now), False)
        judged.heard(street.analysis.tick(now), True)
        judged.check(now)
    assert street.audit.verify().whole


@pytest.mark.thorough
@given(
    envelopes(),
    st.integers(0, 10**9),
    st.sets(st.sampled_from([*DECLARED, *LOOSE]), max_size=3),
    st.integers(0, 3),
)
@example(Envelope(("alert", "isolate", "rate_limit"), max_hosts=0, max_share=0.01, ttl=300),
         54, set(), 0)  # fmt: skip
@example(Envelope(("alert", "rate_limit"), max_hosts=0, max_share=0.01, ttl=300),
         40_000, set(), 0)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_attacker_gets_it_beyond_the_envelope(
    envelope: Envelope, seed: int, protected: set[str], teacher: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        street = Street(Path(folder))
        street.envelope = envelope
        street.segments.protected = frozenset(protected)
        street.segments.adapt["db"] = Adapt.AUTO
        street.segments.members["web"] |= frozenset(LOOSE)
        street.reopen(1000.0)
        # Whatever the learner came to believe, the envelope is not its to change.
        _teach(street.analysis._decisions.ledger.learner, teacher)
        play(street, envelope, plays(Random(seed)))
        street.store.close()


def _teach(learner: ActionLearner, strongest: int) -> None:
    arm = ("alert", "rate_limit", "isolate", "quarantine")[strongest]
    for row in ("doubtful", "likely", "certain", "certain-path"):
        for _ in range(5):
            learner.learn({row: 1.0}, arm, "alert", 1.0)  # type: ignore[arg-type]

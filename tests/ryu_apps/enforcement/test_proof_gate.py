"""What is proven before it is sent, what beside, and what is said about it."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from policies.model import TCP, Intent, Service
from proving.network_proof import NetworkProof
from response.ipc.messages import ProofFound, ProofWanted, SwitchChanged
from ryu_apps.effects import Log, Report
from ryu_apps.enforcement.proof_gate import ProofGate
from ryu_apps.enforcement.rollout import RolloutError
from tests.support.controller_rig import POLICY, Rig

MORE = Intent("more", ("db",), ("web",), (Service(TCP, 80, 80),))
FAILED = ProofFound(1, False, 0.1, ("switch 1: sent out", "  packet: tcp"), ("a part",))


class Gate:
    """A gate over real switches' sessions, whose prover finds what a test says."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.wanted: list[ProofWanted] = []
        self.found: ProofFound | None | Exception = ProofFound(0, True, 0.2)
        self.gate = ProofGate(self.rig.core.reconciler, self._ask)

    def _ask(self, wanted: ProofWanted, seconds: float) -> ProofFound | None:
        self.wanted.append(wanted)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_the_facts_are_those_of_the_network() -> None:
    gate = Gate()
    gate.rig.connect(), gate.rig.connect(2)
    gate.gate.admit(0, 5.0)
    (wanted,) = gate.wanted
    assert [view.switch for view, _ in wanted.switches] == [1, 2]
    more = replace(POLICY, intents=(*POLICY.intents, MORE))
    proof = NetworkProof(lambda number: (POLICY, more)[number])
    assert proof.answer(wanted).holds
    gate.gate.admit(1, 5.0)
    assert proof.answer(gate.wanted[-1]).holds


def test_what_does_not_hold_is_refused_with_its_packet() -> None:
    gate = Gate()
    gate.rig.connect()
    gate.found = FAILED
    with pytest.raises(RolloutError) as refused:
        gate.gate.admit(3, 5.0)
    lines = str(refused.value).splitlines()
    assert "version 3 is not put in force" in lines[0]
    assert lines[1:] == ["switch 1: sent out", "  packet: tcp", "not covered: a part"]


@pytest.mark.parametrize("found", [None, RuntimeError("the prover ended")])
def test_no_answer_is_no_failed_proof_and_the_person_decides(found: Exception | None) -> None:
    gate = Gate()
    gate.found = found
    with pytest.raises(RolloutError, match="--unproven --note WHY"):
        gate.gate.admit(3, 5.0)


def test_without_a_prover_nothing_is_refused_and_status_says_so() -> None:
    gate = ProofGate(Rig().core.reconciler, None)
    gate.admit(3, 5.0)
    assert gate.watch(5.0) == [] and not gate.status()["prover"]


def test_what_is_in_force_is_proven_once_and_again_after_each_change() -> None:
    gate = Gate()
    assert gate.gate.watch(1.0) == [] and not gate.wanted, "no switch is there"
    gate.rig.connect()
    assert gate.gate.watch(2.0, lambda: 2.5) == []
    told = gate.gate.status()["proven"]
    assert told["holds"] and told["at"] == 2.5 and told["switches"] == [1]
    gate.gate.watch(3.0)
    assert len(gate.wanted) == 1
    gate.rig.connect(2)
    gate.gate.watch(4.0)
    policy = replace(POLICY, intents=(*POLICY.intents, MORE))
    gate.rig.carry_out(gate.rig.core.apply_policy(policy, (), gate.rig.now, version=1))
    gate.gate.watch(5.0)
    assert [each.version for each in gate.wanted] == [0, 0, 1]


def test_a_proof_that_fails_beside_alarms_once() -> None:
    gate = Gate()
    gate.rig.connect()
    gate.found = FAILED
    log, report = gate.gate.watch(1.0)
    assert isinstance(log, Log) and log.level == logging.ERROR and "packet: tcp" in log.text
    assert isinstance(report, Report) and isinstance(report.message, SwitchChanged)
    assert report.message.what == "unproven"
    gate.rig.connect(2)
    assert gate.gate.watch(2.0) == [], "it is known"
    assert gate.gate.status()["proven"]["problems"][0] == "switch 1: sent out"


def test_a_prover_that_ended_is_asked_again() -> None:
    gate = Gate()
    gate.rig.connect()
    gate.found = RuntimeError("the prover ended")
    (log,) = gate.gate.watch(1.0)
    assert isinstance(log, Log) and gate.gate.status()["failure"] == "the prover ended"
    gate.found = ProofFound(0, True, 0.2)
    assert gate.gate.watch(2.0) == [] and gate.gate.status()["failure"] == ""


def test_what_is_in_force_is_proven_when_somebody_asks() -> None:
    gate = Gate()
    assert gate.gate.in_force(1.0)["problems"] == ["no switch is ready"]
    gate.rig.connect()
    assert gate.gate.in_force(1.0) == {"holds": True, "seconds": 0.2, "problems": []}
    gate.found = None
    assert gate.gate.in_force(1.0)["problems"] == ["no proof after 60 s"]
    gate.found = FAILED
    told = gate.gate.in_force(1.0)
    assert not told["holds"] and told["problems"][0] == "switch 1: sent out"
    without = ProofGate(gate.rig.core.reconciler, None).in_force(1.0)
    assert without["problems"] == ["this controller runs without a prover"]

"""The proof that goes along with a network: whole at first, then of what has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.compiler import Compiler, RuleChange, SwitchView, Update, declared_bindings
from policies.compiler.targets import Form, SwitchTarget
from policies.model import TCP, Intent, Policy, Service
from proving.network_proof import NetworkProof
from response.ipc.messages import ProofFound, ProofWanted
from response.state.policy_versions import VersionError
from tests.support.shop import FABRIC, READ, shop
from topology.records import Binding

NOW = 1_000.0
MORE = Intent("more", ("db",), ("web",), (Service(TCP, 80, 80),))


class AskedProver:
    """A prover with policies by number."""

    def __init__(self, *policies: Policy) -> None:
        self.policies = dict(enumerate(policies, 1))
        self.proof = NetworkProof(self._policy)
        self.number = 0

    def _policy(self, number: int) -> Policy:
        if number not in self.policies:
            raise VersionError(f"there is no policy version {number}")
        return self.policies[number]

    def about(self, version: int, *switches: tuple[SwitchView, Form], **more: Any) -> ProofFound:
        self.number += 1
        wanted = ProofWanted(self.number, version, NOW, switches or both(), **more)
        found = self.proof.answer(wanted)
        assert found.number == self.number
        return found


STATEFUL = Form()


def both(form: Form = STATEFUL, extra: tuple[int, ...] = ()) -> tuple[tuple[SwitchView, Form], ...]:
    """The two switches of the shop."""
    bindings = declared_bindings(shop())
    return tuple(
        (
            SwitchView(
                number,
                (*sorted({each.port for each in bindings if each.switch == number}), *extra),
                FABRIC.trunks(number),
                FABRIC.next_ports(number),
            ),
            form,
        )
        for number in (1, 2)
    )


def test_policies_one_after_the_other() -> None:
    asked = AskedProver(shop(READ), shop(READ, MORE), shop())
    for version in (1, 2, 1, 3, 3):
        found = asked.about(version)
        assert found.holds and not found.examples and not found.unproven


def test_ports_and_hosts_come_and_go() -> None:
    web = shop().hosts[3]
    nameless = replace(web, name="w9", mac="00:00:00:00:00:99", ips=(), switch=None, port=None)
    policy = shop(READ)
    asked = AskedProver(replace(policy, hosts=(*policy.hosts, nameless)))
    found = Binding("00:00:00:00:00:99", "10.0.9.9", 1, 77, "w9")
    assert asked.about(1).holds
    assert asked.about(1, *both(extra=(77,)), discovered=(found,)).holds
    assert asked.about(1, *both(extra=(77,))).holds
    assert asked.about(1, *both()[:1]).holds, "a switch has left"


@pytest.mark.parametrize("target", [SwitchTarget.STATELESS, SwitchTarget.SINGLE])
def test_switches_of_other_kinds(target: SwitchTarget) -> None:
    asked = AskedProver(shop(READ))
    first, second = both()
    assert asked.about(1, first, (second[0], Form(target))).holds
    assert asked.about(1, *both(Form(target))).holds


@pytest.mark.parametrize("target", SwitchTarget)
def test_rules_wait_at_a_declared_port_that_the_switch_does_not_have(target: SwitchTarget) -> None:
    asked = AskedProver(shop(READ, MORE))
    whole = both(Form(target))
    fewer = tuple((replace(view, ports=view.ports[1:]), form) for view, form in whole)
    for switches in (fewer, whole, fewer):
        found = asked.about(1, *switches)
        assert found.holds, (found.examples, found.unproven)


def test_a_fault_of_the_compiler_is_a_packet_and_the_next_right_rules_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = AskedProver(shop(READ), shop(READ, MORE))
    assert asked.about(1).holds
    right = Compiler.update

    def forgetful(self: Compiler, *given: Any) -> Update:
        change = right(self, *given)
        everywhere = RuleChange(change.everywhere.added[1:], change.everywhere.removed)
        return Update(everywhere, change.single)

    with monkeypatch.context() as wrong:
        wrong.setattr(Compiler, "update", forgetful)
        found = asked.about(2)
    assert not found.holds
    assert any("packet:" in line for line in found.examples)
    assert asked.about(2).holds


def test_what_cannot_be_read_or_compiled_is_not_proven() -> None:
    asked = AskedProver(shop(READ))
    found = asked.about(7)
    assert not found.holds and found.unproven == ("there is no policy version 7",)
    assert asked.about(1).holds

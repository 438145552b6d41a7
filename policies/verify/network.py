"""The proof for switches of several kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.compiler import SwitchView
from policies.compiler.targets import Form, SwitchTarget
from policies.model import Policy
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.verify.proof import Proof
from policies.verify.prover import Prover
from policies.verify.stateless import prove_stateless
from topology.records import Binding


def prove_network(
    forms: Mapping[int, Form],
    policy: Policy,
    membership: Membership,
    views: Mapping[int, SwitchView],
    bindings: Sequence[Binding],
    rules: Mapping[int, Sequence[Rule]],
    now: float,
    limit: int = 1,
) -> Proof:
    """Whether the rules of every switch mean what the policy says, each switch as its form has it;
    up to ``limit`` counterexamples for each."""
    tracking = {s: given for s, given in rules.items() if forms[s].target is SwitchTarget.STATEFUL}
    proofs = []
    if tracking:
        own = {switch: views[switch] for switch in tracking}
        proofs.append(Prover(policy, membership, own, bindings, now, limit).prove(tracking))
    for switch, given in rules.items():
        if switch not in tracking:
            more = (views[switch], bindings, given, now, limit)
            proofs.append(prove_stateless(forms[switch], policy, membership, *more))
    statistics: dict[str, int] = {}
    for proof in proofs:
        for name, number in proof.statistics.items():
            statistics[name] = statistics.get(name, 0) + number
    return Proof(
        all(proof.holds for proof in proofs),
        tuple(example for proof in proofs for example in proof.counterexamples),
        tuple(problem for proof in proofs for problem in proof.unproven),
        statistics,
    )

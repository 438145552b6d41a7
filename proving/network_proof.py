"""The proof that goes along with a running network, from what the controller asks for.

Rules are compiled here once more, from the same facts: a fault of the compiler shows, and the
controller neither waits for a proof nor sends its rules along. What changed since the last proof
that held is all that is looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from policies.compiler import (
    CompileError,
    Compiler,
    RuleChange,
    SwitchView,
    Update,
    hosts_of,
    view_change,
)
from policies.compiler.targets import SwitchTarget, rules_for
from policies.language.errors import PolicyError
from policies.model import Host, Intent, Policy
from policies.semantics import retained_intents
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.verify import Proof, Prover
from policies.verify.probe import example_lines
from policies.verify.stateless import prove_stateless
from response.ipc.messages import ProofFound, ProofWanted
from response.state.policy_versions import VersionError
from topology.hosts import HostTable
from topology.records import Binding

Named = TypeVar("Named", Host, Intent)
PolicyOf = Callable[[int], Policy]
"""The policy version of a number. Raises VersionError or PolicyError."""


@dataclass(slots=True)
class _Proven:
    """The switches that track connections, as they were proven last."""

    version: int
    policy: Policy
    bindings: tuple[Binding, ...]
    membership: Membership
    views: dict[int, SwitchView]
    compiler: Compiler
    prover: Prover


class NetworkProof:
    """Answers one `ProofWanted` after the other."""

    def __init__(self, policy_of: PolicyOf, limit: int = 1) -> None:
        self._policy_of = policy_of
        self._limit = limit
        self._proven: _Proven | None = None

    def answer(self, wanted: ProofWanted) -> ProofFound:
        """What is found, or why nothing can be: never an exception for a policy that is bad."""
        begun = time.monotonic()
        try:
            proof, policy = self._prove(wanted)
        except (CompileError, PolicyError, VersionError) as problem:
            proof, policy = Proof(False, unproven=(str(problem),)), None
        except Exception:
            self._proven = None
            raise
        lines = [] if policy is None else _lines(proof, policy)
        seconds = time.monotonic() - begun
        return ProofFound(wanted.number, proof.holds, seconds, tuple(lines), proof.unproven)

    def _prove(self, wanted: ProofWanted) -> tuple[Proof, Policy | None]:
        before = self._proven
        known = before is not None and before.version == wanted.version
        if known and before:
            policy = before.policy
        else:
            policy = self._policy_of(wanted.version)
            policy = policy if before is None else _like(before.policy, policy)
        table = HostTable(*hosts_of(policy))
        table.restore(wanted.discovered)
        bindings = table.bindings()
        forms = {view.switch: form for view, form in wanted.switches}
        views = {view.switch: view for view, _ in wanted.switches}
        tracking = {s: v for s, v in views.items() if forms[s].target is SwitchTarget.STATEFUL}
        proofs = []
        if tracking:
            proofs.append(self._tracking(wanted, policy, bindings, tracking))
        membership = Membership(policy, bindings) if len(tracking) < len(views) else None
        for switch in views.keys() - tracking.keys():
            assert membership is not None
            view, form = views[switch], forms[switch]
            rules = rules_for(
                form.target, policy, membership, view, bindings, wanted.now,
                port_masks=form.port_masks,
            )  # fmt: skip
            given = (view, bindings, rules, wanted.now, self._limit)
            proofs.append(prove_stateless(form, policy, membership, *given))
        return _joined(proofs), policy

    def _tracking(
        self,
        wanted: ProofWanted,
        policy: Policy,
        bindings: tuple[Binding, ...],
        views: Mapping[int, SwitchView],
    ) -> Proof:
        """The switches that track connections: after the last proof what changed, else all."""
        kept = retained_intents.read(wanted.retained).retained
        before, self._proven = self._proven, None
        if before is not None and before.views.keys() == views.keys():
            old = {each: each for each in before.bindings}
            bindings = tuple(old.get(each, each) for each in bindings)
            membership = follow(before.membership, policy, bindings)
            change = before.compiler.update(policy, membership, bindings, wanted.now, kept)
            change = _with_views(change, before.views, views)
            compiler, prover = before.compiler, before.prover
            proof = prover.update(policy, membership, bindings, change, wanted.now, views)
        else:
            membership = Membership(policy, bindings)
            compiler = Compiler(policy, membership, bindings, wanted.now, kept)
            prover = Prover(policy, membership, views, bindings, wanted.now, self._limit)
            compiled = {s: compiler.rules(view, wanted.now) for s, view in views.items()}
            proof = prover.prove(compiled)
        if proof.holds:
            self._proven = _Proven(
                wanted.version, policy, bindings, membership, dict(views), compiler, prover
            )
        return proof


def _like(before: Policy, policy: Policy) -> Policy:
    """The policy with the objects of the one before where they are equal: what is the same object
    need not be compared again."""
    hosts = {each.name: each for each in before.hosts}
    intents = {each.name: each for each in before.intents}
    return replace(
        policy,
        hosts=tuple(_same(hosts.get(each.name), each) for each in policy.hosts),
        intents=tuple(_same(intents.get(each.name), each) for each in policy.intents),
    )


def _same(old: Named | None, new: Named) -> Named:
    return old if old is not None and old == new else new


def _lines(proof: Proof, policy: Policy) -> list[str]:
    return [line for each in proof.counterexamples for line in example_lines(each, policy)]


def _with_views(
    change: Update, before: Mapping[int, SwitchView], after: Mapping[int, SwitchView]
) -> Update:
    """The change with what ports and links change besides."""
    single = dict(change.single)
    for switch, view in after.items():
        if view != before[switch]:
            single[switch] = single.get(switch, RuleChange()) + view_change(before[switch], view)
    return Update(change.everywhere, single)


def _joined(proofs: list[Proof]) -> Proof:
    return Proof(
        all(each.holds for each in proofs),
        tuple(example for each in proofs for example in each.counterexamples),
        tuple(line for each in proofs for line in each.unproven),
    )

"""Proving that a switch's rules mean what the intents say, for every packet there is."""

from policies.verify.proof import Counterexample, Proof
from policies.verify.prover import Prover, prove
from policies.verify.text import RuleTextError, read_rules

__all__ = ["Counterexample", "Proof", "Prover", "RuleTextError", "prove", "read_rules"]

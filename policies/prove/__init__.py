"""Proving that a switch's rules mean what the intents say, for every packet there is."""

from policies.prove.prover import Counterexample, Proof, Prover, prove
from policies.prove.text import RuleTextError, read_rules

__all__ = ["Counterexample", "Proof", "Prover", "RuleTextError", "prove", "read_rules"]

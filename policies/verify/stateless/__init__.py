"""Whether the rules of a switch without connection tracking mean what the policy says."""

from policies.verify.stateless.proof import prove_stateless

__all__ = ["prove_stateless"]

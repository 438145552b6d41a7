"""Whether the rules of a switch without connection tracking mean what the policy says."""

from policies.verify.stateless.proof import prove_plain

__all__ = ["prove_plain"]

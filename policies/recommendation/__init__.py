"""A least-privilege policy from observed traffic: `recommend`."""

from __future__ import annotations

from policies.recommendation.evidence import LeftOut, ObservedEdge
from policies.recommendation.recommend import Recommendation, recommend
from policies.recommendation.writing import policy_text

__all__ = ["ObservedEdge", "LeftOut", "Recommendation", "policy_text", "recommend"]

"""Before a policy is applied: lint, diff, simulation on recorded traffic, blast radius."""

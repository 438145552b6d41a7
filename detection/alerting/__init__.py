"""From scores to alerts: the budget, thresholds, episodes."""

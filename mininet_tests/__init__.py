"""Real networks: topologies, scenarios, live tests."""

"""Measured experiments on live networks, for live tests and benchmarks."""

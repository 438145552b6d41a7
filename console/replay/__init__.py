"""Recorded traffic through the whole pipeline, deterministic for a seed."""

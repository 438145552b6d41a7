"""Measurements: what Septum promises in figures, and whether it holds on this machine."""

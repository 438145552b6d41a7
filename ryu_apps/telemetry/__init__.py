"""Packet copies to flow records."""

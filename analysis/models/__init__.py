"""Snapshots of what was learned, and what people ask of models."""

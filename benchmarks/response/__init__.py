"""Measurements of decisions, feeds and the learning of actions."""

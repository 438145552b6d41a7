"""Measurements on inputs that people really have, and on readers that must agree."""

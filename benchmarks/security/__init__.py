"""Measurements of what holds attackers off: tests by threat, fuzzing, memory, foreign rules."""

"""Texts and tables about decisions, audit entries and rules."""

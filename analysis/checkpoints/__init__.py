"""Checkpoints of the audit: made when due, and sent where they are to be kept."""

"""Measurements of reading, compiling, proving and simulating policies."""

"""Tests, in folders that mirror what they test; `support` is shared with the benchmarks."""

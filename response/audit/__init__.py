"""The hash-chained record: log, chain, signed checkpoints, exports."""

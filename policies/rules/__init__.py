"""Rules as values: matches and actions, table layout, text forms, the simulator."""

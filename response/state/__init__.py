"""The state store: interface, SQLite, policy and model versions."""

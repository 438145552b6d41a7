"""What the project itself is held to: its values and its modules."""

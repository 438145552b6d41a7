"""What a detector has learned as plain data: checked tables of numbers and texts, no code."""

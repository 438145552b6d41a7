"""What is unusual."""

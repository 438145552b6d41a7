"""What is there and who talks to whom."""

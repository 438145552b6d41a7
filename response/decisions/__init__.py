"""Machine decisions: choice, envelope, life, rewards, explanation."""

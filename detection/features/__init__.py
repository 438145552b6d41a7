"""What the models look at: feature values from the remembered state."""

"""What switches should have, and the reconciler that keeps them there."""

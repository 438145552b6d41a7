"""Rules for switches with connection tracking."""

"""What a policy means: membership, services, verdicts, decisions and feeds beside it."""

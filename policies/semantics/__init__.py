"""What a policy means: membership, services, verdicts, machine decisions and feeds."""
